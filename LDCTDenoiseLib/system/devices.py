"""Which device computes: cuda, mps or cpu, and why.

PyTorch is imported only where a GPU may be: importing it takes longer than denoising a slice.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DeviceError, counted
from . import pytorch

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_DEVICE_FILES = Path("/dev")
_OTHER_GPUS = ("/dev/kfd", "/dev/nvhost-gpu", "/dev/nvmap")
"""AMD's, and those of NVIDIA's small boards, which have no ``/dev/nvidia0``."""


@dataclass(frozen=True)
class Device:
    """Where it is computed.

    Attributes:
        type: "cuda", "mps" or "cpu".
        index: of a CUDA device.
    """

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


CPU = Device("cpu")


def has_nvidia_gpu() -> bool:
    """Whether there is an NVIDIA GPU with its driver; asks the system, not PyTorch."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").exists()
    any_number = any(_DEVICE_FILES.glob("nvidia[0-9]*"))  # a container may be given the GPU number 3 only
    return any_number or Path("/usr/lib/wsl/lib/libcuda.so.1").exists()


def _may_have_gpu() -> bool:
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return apple or has_nvidia_gpu() or any(Path(one).exists() for one in _OTHER_GPUS)


def why_no_cuda() -> str:
    """Why CUDA is not used, as part of a sentence; empty where it can be."""
    if not _may_have_gpu():
        return "no CUDA GPU or driver was found"
    if problem := pytorch.problem():
        return problem.rstrip(".")
    import torch

    if torch.cuda.is_available():
        return ""
    return "this PyTorch build has no CUDA support" if torch.version.cuda is None else "no CUDA GPU or driver was found"


def _has_mps() -> bool:
    if not (sys.platform == "darwin" and pytorch.is_installed()) or pytorch.problem():
        return False
    import torch

    return torch.backends.mps.is_available()


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def list_devices() -> list[dict[str, str]]:
    """The devices of this machine, best first: ``name`` as :func:`find_device` takes it, ``label`` for people."""
    devices = []
    if not why_no_cuda():
        import torch

        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            memory = f"{properties.total_memory / 2**30:.0f} GiB"
            devices.append({"name": f"cuda:{index}", "label": f"cuda:{index} {properties.name}, {memory}"})
    if _has_mps():
        devices.append({"name": "mps", "label": "mps (Apple silicon)"})
    return [*devices, {"name": "cpu", "label": f"cpu ({usable_cores()} cores)"}]


def why_device(asked: str, device: Device) -> str:
    """Why :func:`find_device` gave this device for a name, as part of a sentence."""
    if asked != "auto":
        return "as asked"
    return "the first CUDA GPU" if device.type == "cuda" else f"because {why_no_cuda()}"


def check_device_name(name: str) -> None:
    """Make sure that a name is one that :func:`find_device` takes.

    Raises:
        DeviceError: it is not.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        raise DeviceError(f"'{name}' is not a device; choose auto, cuda, cuda:N, mps or cpu.")


def find_device(name: str = "auto") -> Device:
    """The device for a name; ``auto`` takes CUDA, then MPS, then the CPU, and logs which and why.

    Args:
        name: "auto", "cuda", "cuda:N", "mps" or "cpu".

    Raises:
        DeviceError: no such device, on this machine or at all.
    """
    if name == "auto":
        device = _best_device()
        log.info("Device: %s, %s.", device, why_device(name, device))
        return device
    check_device_name(name)
    kind, _, index = name.partition(":")
    device = Device(kind)
    if kind == "cuda":
        device = _cuda_device(name, int(index or 0))
    elif kind == "mps" and not _has_mps():
        raise DeviceError("MPS cannot be used: it needs PyTorch, and macOS on Apple silicon. Use the device auto or cpu.")
    log.info("Device: %s, as asked.", device)
    return device


def choose_device(name: str = "auto") -> torch.device:
    """As :func:`find_device`, for PyTorch."""
    pytorch.require_torch()
    import torch

    return torch.device(str(find_device(name)))


def _best_device() -> Device:
    if not _may_have_gpu():
        return CPU
    if not pytorch.is_installed():
        if has_nvidia_gpu():
            log.warning("This machine has an NVIDIA GPU, which needs PyTorch: pip install 'ldctdenoise[torch]'.")
        return CPU
    if not why_no_cuda():
        return Device("cuda", 0)
    return Device("mps") if _has_mps() else CPU


def _cuda_device(name: str, index: int) -> Device:
    if reason := why_no_cuda():
        raise DeviceError(f"CUDA cannot be used: {reason}. Use the device auto or cpu.")
    import torch

    found = torch.cuda.device_count()
    if index >= found:
        raise DeviceError(f"There is no {name}: this machine has {counted(found, 'CUDA device')}, numbered from 0.")
    return Device("cuda", index)
