"""Rates side by side: matrix products and methods take turns, so that all meet the same machine."""

from __future__ import annotations

import statistics
from typing import Any

import torch

from .machine import matrix_products, timed
from .methods import Method, noisy_slices

SIDE = 512
SLOW_REPEATS = 3


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure(methods: dict[str, Method], device: torch.device, repeats: int) -> dict[str, Any]:
    """For every method seconds for a slice, and the share of each matrix product measured just before it.

    Returns:
        ``products``: GFLOP/s by name. ``methods``: ``seconds`` for a slice; where FLOP are known also ``gflops`` and, by the
        name of a product, ``share``.
    """
    slices = 64 if device.type == "cuda" else 1
    volume = noisy_slices(slices, SIDE)
    products = matrix_products(device)
    for function, _ in products.values():
        function()
    for method in methods.values():
        method.apply(volume)

    rates: dict[str, list[float]] = {name: [] for name in products}
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    shares: dict[str, dict[str, list[float]]] = {name: {product: [] for product in products} for name in methods}
    for turn in range(repeats):
        for name, method in methods.items():
            if method.slow and turn >= SLOW_REPEATS:
                continue
            now = {product: flop / timed(function, device) for product, (function, flop) in products.items()}
            took = timed(lambda method=method: method.apply(volume), device) / slices
            seconds[name].append(took)
            for product, rate in now.items():
                rates[product].append(rate / 1e9)
                if method.flop_per_pixel is not None:
                    shares[name][product].append(method.flop_per_pixel * SIDE**2 / took / rate)
    found: dict[str, Any] = {}
    for name, method in methods.items():
        found[name] = {"seconds": spread(seconds[name])}
        if method.flop_per_pixel is not None:
            flop = method.flop_per_pixel * SIDE**2
            found[name]["gflops"] = spread([flop / one / 1e9 for one in seconds[name]])
            found[name]["share"] = {product: spread(values) for product, values in shares[name].items()}
    return {"products": {name: spread(values) for name, values in rates.items()}, "methods": found}
