"""Which device computes: cuda, mps or cpu, and why."""

from __future__ import annotations

import logging

import torch

from ..errors import DeviceError

log = logging.getLogger(__name__)


def why_no_cuda() -> str:
    """One sentence that says why CUDA is not used; empty where it can be."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return "this PyTorch build has no CUDA support"
    return "no CUDA GPU or driver was found"


def list_devices() -> list[dict[str, str]]:
    """The devices of this machine, best first: ``name`` as :func:`choose_device` takes it, ``label`` for people."""
    devices = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        devices.append({"name": f"cuda:{index}", "label": f"cuda:{index} {properties.name}, {memory}"})
    if torch.backends.mps.is_available():
        devices.append({"name": "mps", "label": "mps (Apple silicon)"})
    cores = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return [*devices, {"name": "cpu", "label": f"cpu ({cores})"}]


def why_device(asked: str, device: torch.device) -> str:
    """Why :func:`choose_device` gave this device for a name, as part of a sentence."""
    if asked != "auto":
        return "as asked"
    return "the first CUDA GPU" if device.type == "cuda" else f"because {why_no_cuda()}"


def choose_device(name: str = "auto") -> torch.device:
    """The torch device for a name; ``auto`` takes CUDA, then MPS, then the CPU, and logs which and why.

    Args:
        name: "auto", "cuda", "cuda:N", "mps" or "cpu".

    Raises:
        DeviceError: no such device, on this machine or at all.
    """
    if name == "auto":
        if torch.cuda.is_available():
            device = torch.device("cuda:0")
        elif torch.backends.mps.is_available():
            device = torch.device("mps")
        else:
            device = torch.device("cpu")
        log.info("Device: %s, %s.", device, why_device(name, device))
        return device

    kind, _, index = name.partition(":")
    if kind not in ("cuda", "mps", "cpu") or (index and not (kind == "cuda" and index.isdigit())):
        raise DeviceError(f"'{name}' is not a device; choose auto, cuda, cuda:N, mps or cpu.")
    if kind == "cuda":
        if why_no_cuda():
            raise DeviceError(f"CUDA cannot be used: {why_no_cuda()}. Use the device auto or cpu.")
        count = torch.cuda.device_count()
        if int(index or 0) >= count:
            raise DeviceError(f"There is no {name}: this machine has {count} CUDA device(s), numbered from 0.")
        name = f"cuda:{index or 0}"
    elif kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("MPS cannot be used: it needs macOS on Apple silicon. Use the device auto or cpu.")
    log.info("Device: %s, as asked.", name)
    return torch.device(name)
