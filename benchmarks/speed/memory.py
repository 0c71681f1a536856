"""Peak memory of a fresh process that denoises few slices, then many."""

from __future__ import annotations

import multiprocessing
import re
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .methods import engines, noisy_slices

SIDE = 512
FEW, MANY = 2, 20


def measure(device: torch.device) -> dict[str, Any]:
    """MiB by engine: ``start`` (model loaded), ``few`` and ``many`` slices, and ``volumes``, the input and output of many.

    One level: levels take turns with the same memory.
    """
    context = multiprocessing.get_context("spawn")
    found: dict[str, Any] = {"few_slices": FEW, "many_slices": MANY, "volumes": 2 * MANY * SIDE**2 * 2 / 2**20}
    for name in engines(device, levels=1):
        with context.Pool(1) as pool:
            found[name] = pool.apply(_peaks, (name, str(device)))
    return found


def _peaks(name: str, device: str) -> dict[str, float]:
    denoiser = engines(torch.device(device), levels=1)[name].apply
    peaks = {"start": _peak()}
    one = noisy_slices(1, SIDE)
    for key, count in (("few", FEW), ("many", MANY)):
        volume = np.repeat(one, count, axis=0)
        denoiser(volume)
        peaks[key] = _peak()
    if torch.device(device).type == "cuda":
        peaks["gpu"] = torch.cuda.max_memory_reserved() / 2**20
    return peaks


def _peak() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the parent had before it started this process
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024  # type: ignore[index]
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
