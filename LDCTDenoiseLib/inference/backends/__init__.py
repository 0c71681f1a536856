"""What computes a network: OpenVINO, or PyTorch, there through oneDNN or cuDNN where they can be used.

All give the same result.
"""

from __future__ import annotations

import logging
from enum import StrEnum

from ...errors import InputError, MissingTorchError
from ...models.architectures.architecture import Precision
from ...system import pytorch
from ...system.devices import Device
from . import openvino

log = logging.getLogger(__name__)

AUTO_PRECISION = "auto"
"""float16 on CUDA, float32 elsewhere."""


class Backend(StrEnum):
    """Which library computes."""

    AUTO = "auto"  # OpenVINO on the CPU where it is installed, PyTorch elsewhere
    TORCH = "torch"
    OPENVINO = "openvino"


def choose_backend(name: str, device: Device, precision: str) -> Backend:
    """The backend for a name.

    Args:
        name: of a :class:`Backend`.
        device: where.
        precision: that is asked for. In bfloat16 PyTorch is the faster one.

    Raises:
        InputError: no such backend, or not for this device.
        MissingTorchError: it is PyTorch, which is not installed.
    """
    try:
        backend = Backend(name)
    except ValueError:
        raise InputError(f"There is no backend '{name}'; choose one of {', '.join(one.value for one in Backend)}.") from None
    if backend is Backend.AUTO:
        half = precision == Precision.BFLOAT16.value and pytorch.is_installed()
        backend = Backend.OPENVINO if device.type == "cpu" and openvino.is_installed() and not half else Backend.TORCH
    if backend is Backend.OPENVINO and device.type != "cpu":
        raise InputError("The backend openvino computes on the CPU; choose this device, or the backend auto.")
    if backend is Backend.TORCH and not pytorch.is_installed():
        raise MissingTorchError(why_nothing_computes() or "PyTorch is not installed.")
    return backend


def why_nothing_computes() -> str:
    """That neither library is installed, as a sentence; empty where one is."""
    if openvino.is_installed() or pytorch.is_installed():
        return ""
    return "PyTorch is not installed. Neither is OpenVINO: pip install openvino."


def choose_precision(name: str, device: Device, backend: Backend) -> Precision:
    """The type to compute in; a CPU has float32, and bfloat16 where it has the instructions.

    Raises:
        InputError: no such precision.
    """
    if name == AUTO_PRECISION:
        return Precision.FLOAT16 if device.type == "cuda" else Precision.FLOAT32
    try:
        precision = Precision(name)
    except ValueError:
        known = ", ".join([AUTO_PRECISION, *(one.value for one in Precision)])
        raise InputError(f"There is no precision '{name}'; choose one of {known}.") from None
    if device.type == "cpu" and precision is not Precision.FLOAT32:
        if precision is Precision.BFLOAT16 and has_bfloat16(backend):
            return precision
        log.info("This CPU has no fast instructions for %s; float32 is used.", precision.value)
        return Precision.FLOAT32
    return precision


def has_bfloat16(backend: Backend) -> bool:
    """Whether a backend computes in bfloat16 on this CPU."""
    if backend is Backend.OPENVINO:
        return openvino.has_bfloat16()
    from . import onednn  # it brings torch

    return onednn.has_bfloat16() and onednn.is_usable()
