"""What computes a network: PyTorch as it is, oneDNN or cuDNN through PyTorch, or OpenVINO; all give the same result."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum

import torch
from torch import nn

from ...errors import InputError
from ...models.networks import DenoisingNetwork
from . import cudnn, onednn, openvino
from .plain import PlainNetwork

log = logging.getLogger(__name__)


class Backend(str, Enum):
    """Which library computes."""

    AUTO = "auto"  # OpenVINO for float32 on the CPU where it is installed, PyTorch elsewhere
    TORCH = "torch"
    OPENVINO = "openvino"


class Precision(str, Enum):
    """Arithmetic of the convolutions that bear it; the layers that touch HU and the sum with the input are float32 in all."""

    AUTO = "auto"  # float16 on CUDA, float32 elsewhere
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """The type to compute in; a CPU has float32, and bfloat16 where it has the instructions.

    Raises:
        InputError: no such precision.
    """
    try:
        precision = Precision(name)
    except ValueError:
        known = ", ".join(one.value for one in Precision)
        raise InputError(f"There is no precision '{name}'; choose one of {known}.") from None
    if precision is Precision.AUTO:
        return torch.float16 if device.type == "cuda" else torch.float32
    if device.type == "cpu" and precision is not Precision.FLOAT32:
        if precision is Precision.BFLOAT16 and onednn.has_bfloat16() and onednn.is_usable():
            return torch.bfloat16
        log.info("This CPU has no fast instructions for %s; float32 is used.", precision.value)
        return torch.float32
    return getattr(torch, precision.value)


def choose_backend(name: str, device: torch.device, precision: torch.dtype) -> Backend:
    """The backend for a name.

    Raises:
        InputError: no such backend, or not for this device or precision.
    """
    try:
        backend = Backend(name)
    except ValueError:
        raise InputError(f"There is no backend '{name}'; choose one of {', '.join(one.value for one in Backend)}.") from None
    fits = device.type == "cpu" and precision == torch.float32
    if backend is Backend.AUTO:
        return Backend.OPENVINO if fits and openvino.is_installed() else Backend.TORCH
    if backend is Backend.OPENVINO and not fits:
        raise InputError("The backend openvino computes in float32 on the CPU; choose these, or the backend auto.")
    return backend


def build(
    networks: Sequence[DenoisingNetwork], backend: Backend, device: torch.device, precision: torch.dtype
) -> list[nn.Module]:
    """Networks that take turns, as their backend computes them: same input, same output.

    Raises:
        MissingExtraError: the backend is not installed.
    """
    if backend is Backend.OPENVINO:
        return [openvino.OpenVINONetwork(network) for network in networks]
    if device.type == "cpu" and onednn.is_usable():
        memory = onednn.Memory()
        return [onednn.OneDNNNetwork(network, precision, memory) for network in networks]
    if device.type == "cuda" and cudnn.is_usable(device, precision):
        return [cudnn.CuDNNNetwork(network, device, precision) for network in networks]
    return [PlainNetwork(network, device, precision) for network in networks]
