"""Where the engine's time goes, and how far it is from what the machine can do."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.models.model_info import find_model, read_info

from .machine import memory_bandwidth
from .methods import flop_per_pixel, noisy_slices

SIDE = 512
_GROUPS = {
    "convolutions": ("convolution",),
    "last convolution (matrix product)": ("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm"),
    "filling with bias, copies": ("aten::copy_", "aten::fill_", "Memcpy"),
}
_REST = "everything else on the device"


def measure(device: torch.device, precision: str) -> dict[str, Any]:
    """Shares of the time of one volume in PyTorch's backend, and the bounds of a level of the cascade.

    Returns:
        ``shares``: by kind of work, of the device's time. ``outside``: the engine's preparing and finishing, as a share of
        the whole time. ``bounds``: seconds for a slice and level by FLOP (at the ``rate`` of the caller's choice: FLOP is
        given) and by the least traffic, at the measured ``bandwidth``.
    """
    denoiser = Denoiser(device=str(device), precision=precision, backend="torch")
    volume = noisy_slices(2 if device.type == "cpu" else 64, SIDE)
    denoiser(volume)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities) as recorded:
        denoiser(volume)
    shares: dict[str, float] = defaultdict(float)
    for event in recorded.key_averages():
        group = next((name for name, parts in _GROUPS.items() if any(part in event.key for part in parts)), _REST)
        shares[group] += event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
    total = sum(shares.values())

    network_seconds = 0.0
    forward = denoiser._computer.predict  # type: ignore[attr-defined]

    def clocked(*arguments: Any) -> torch.Tensor:
        nonlocal network_seconds
        start = time.perf_counter()
        result = forward(*arguments)
        network_seconds += time.perf_counter() - start
        return result

    outside = None
    if device.type == "cpu":  # a GPU's replays do not come by here
        denoiser._computer.predict = clocked  # type: ignore[attr-defined]
        start = time.perf_counter()
        denoiser(volume)
        outside = 1 - network_seconds / (time.perf_counter() - start)

    level = read_info(find_model("default")).levels[0].architecture
    maps = sum(one.filters for one in level.layers)
    read = sum(sum(level.source_channels(one)) for one in level.layers)
    return {
        "precision": precision,
        "shares": {name: value / total for name, value in sorted(shares.items(), key=lambda item: -item[1])},
        "outside": outside,
        "flop_per_slice_and_level": flop_per_pixel(level) * SIDE**2,
        "bytes_per_slice_and_level": float((maps + read) * 4 * SIDE**2),
        "bandwidth": memory_bandwidth(device),
    }
