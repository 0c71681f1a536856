"""Which device computes: cuda, mps or cpu, and why."""

from __future__ import annotations

import logging

import torch

from .errors import DeviceError

log = logging.getLogger(__name__)


def why_no_cuda() -> str:
    """One sentence that says why CUDA is not used; empty where it can be."""
    if torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return "this PyTorch build has no CUDA support"
    return "no CUDA GPU or driver was found"


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
            log.info("Device: %s (%s), the first CUDA GPU.", device, torch.cuda.get_device_name(device))
        elif torch.backends.mps.is_available():
            device = torch.device("mps")
            log.info("Device: mps, because %s.", why_no_cuda())
        else:
            device = torch.device("cpu")
            log.info("Device: cpu, because %s.", why_no_cuda())
        return device

    kind, _, index = name.partition(":")
    if kind not in ("cuda", "mps", "cpu") or (index and not (kind == "cuda" and index.isdigit())):
        raise DeviceError(f"'{name}' is not a device; choose auto, cuda, cuda:N, mps or cpu.")
    if kind == "cuda":
        if why_no_cuda():
            raise DeviceError(f"CUDA cannot be used: {why_no_cuda()}. Use --device auto or cpu.")
        count = torch.cuda.device_count()
        if int(index or 0) >= count:
            raise DeviceError(f"There is no {name}: this machine has {count} CUDA device(s), numbered from 0.")
        name = f"cuda:{index or 0}"
    elif kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("MPS cannot be used: it needs macOS on Apple silicon. Use --device auto or cpu.")
    log.info("Device: %s, as asked.", name)
    return torch.device(name)
