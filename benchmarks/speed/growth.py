"""How the engine's time grows with slices, matrix size and threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .machine import timed
from .methods import Method, engines, noisy_slices
from .rates import spread

SLICES = (1, 10, 100, 600)
SIDE_OF_MANY_SLICES = 128  # on a CPU 600 slices of 512 x 512 take minutes
SIDES = (128, 256, 384, 512, 768, 1024)


def measure(device: torch.device, repeats: int) -> dict[str, Any]:
    """Seconds by backend: ``slices``, ``sides`` (one slice) and ``threads`` (one slice of 512 x 512), each by number."""
    on_cpu = device.type == "cpu"
    side = SIDE_OF_MANY_SLICES if on_cpu else 512
    found: dict[str, Any] = {"side_of_many_slices": side, "slices": {}, "sides": {}, "threads": {}}
    for name, method in _float32(engines(device)).items():
        found["slices"][name] = {
            n: _seconds(method.apply, noisy_slices(n, side), device, repeats if n < 100 else 1) for n in SLICES
        }
        found["sides"][name] = {n: _seconds(method.apply, noisy_slices(1, n), device, repeats) for n in SIDES}
    if on_cpu:
        for threads in _thread_counts(torch.get_num_threads()):
            for name, method in _float32(engines(device, threads=threads)).items():
                seconds = _seconds(method.apply, noisy_slices(1, 512), device, repeats)
                found["threads"].setdefault(name, {})[threads] = seconds
    return found


def _float32(methods: dict[str, Method]) -> dict[str, Method]:
    """Without bfloat16 on a CPU, whose time grows in the same way."""
    return {name: method for name, method in methods.items() if "torch, bfloat16" not in name}


def _thread_counts(most: int) -> list[int]:
    return sorted({1, *(2**n for n in range(1, 8) if 2**n < most), most})


def _seconds(apply: Callable[[np.ndarray], object], volume: np.ndarray, device: torch.device, repeats: int) -> dict[str, float]:
    apply(volume[:1])  # each size is prepared once
    return spread([timed(lambda: apply(volume), device) for _ in range(repeats)])
