"""How the engine's time grows with slices, matrix size and threads."""

from __future__ import annotations

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
    methods = _float32(engines(device))
    found: dict[str, Any] = {
        "side_of_many_slices": side,
        "slices": {name: {} for name in methods},
        "sides": {name: {} for name in methods},
        "threads": {name: {} for name in methods if on_cpu},
    }
    for count in SLICES:
        _add(found["slices"], count, methods, noisy_slices(count, side), device, repeats if count < 100 else min(3, repeats))
    for one_side in SIDES:
        _add(found["sides"], one_side, methods, noisy_slices(1, one_side), device, repeats)
    for threads in _thread_counts(torch.get_num_threads()) if on_cpu else []:
        _add(found["threads"], threads, _float32(engines(device, threads=threads)), noisy_slices(1, 512), device, repeats)
    return found


def _add(
    found: dict[str, dict[int, Any]],
    number: int,
    methods: dict[str, Method],
    volume: np.ndarray,
    device: torch.device,
    repeats: int,
) -> None:
    """The methods take turns; each size is prepared once before."""
    for method in methods.values():
        method.apply(volume[:1])
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(repeats):
        for name, method in methods.items():
            seconds[name].append(timed(lambda method=method: method.apply(volume), device))
    for name, values in seconds.items():
        found[name][number] = spread(values)


def _float32(methods: dict[str, Method]) -> dict[str, Method]:
    """Without bfloat16 on a CPU, whose time grows in the same way."""
    return {name: method for name, method in methods.items() if "torch, bfloat16" not in name}


def _thread_counts(most: int) -> list[int]:
    return sorted({1, *(2**n for n in range(1, 8) if 2**n < most), most})
