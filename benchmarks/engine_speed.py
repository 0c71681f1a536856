"""Speed of the engine, as a share of a matrix product measured in the same run, and its peak memory.

    make bench

Engine and matrix product take turns, so that both meet the same machine; medians with minimum and maximum are printed.
A level of DRL costs 447,872 FLOP per pixel.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.devices import choose_device

FLOP_PER_PIXEL_AND_LEVEL = 447_872
SIZE = 512
MATRIX = 2048
CUDA_MATRIX = 8192


def seconds(function: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def matrix_product(size: int, dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b


def summary(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.4g} {unit} ({min(values):.4g} to {max(values):.4g})"


def measure(device: torch.device, repeats: int) -> dict[str, float]:
    on_gpu = device.type == "cuda"
    slices = 64 if on_gpu else 2
    denoiser = Denoiser(device=str(device))
    volume = np.random.default_rng(0).integers(-1000, 1000, (slices, SIZE, SIZE)).astype(np.int16)
    engine_flop = slices * SIZE**2 * FLOP_PER_PIXEL_AND_LEVEL * denoiser.levels
    size = CUDA_MATRIX if on_gpu else MATRIX
    dtypes = (torch.float32, torch.bfloat16) if on_gpu else (torch.float32,)
    products = {dtype: matrix_product(size, dtype, device) for dtype in dtypes}

    denoiser(volume)
    rates: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dtypes}
    engine_rates: list[float] = []
    for _ in range(repeats):
        for dtype, product in products.items():
            product()
            rates[dtype].append(2 * size**3 / seconds(product, device))
        engine_rates.append(engine_flop / seconds(lambda: denoiser(volume), device))

    slice_flop = engine_flop / slices
    print(f"engine, {denoiser.levels} levels, {SIZE}x{SIZE}: {summary([r / slice_flop for r in engine_rates], 'slices/s')}")
    print(f"engine: {summary([r / 1e9 for r in engine_rates], 'GFLOP/s')}")
    figures = {"slices_per_second": statistics.median(engine_rates) / slice_flop}
    for dtype, found in rates.items():
        name = str(dtype).removeprefix("torch.")
        share = [engine / product for engine, product in zip(engine_rates, found, strict=True)]
        print(f"{name} matrix product {size}: {summary([r / 1e9 for r in found], 'GFLOP/s')}")
        print(f"engine as a share of the {name} matrix product: {summary(share, '')}")
        figures[f"share_of_{name}_matrix_product"] = statistics.median(share)
    return figures


def _peak_memory(slices: int, device: str, queue: multiprocessing.Queue[tuple[float, float]]) -> None:
    denoiser = Denoiser(device=device, levels=1)  # levels take turns with the same memory
    denoiser(np.zeros((1, SIZE, SIZE), np.int16))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    denoiser(np.zeros((slices, SIZE, SIZE), np.int16))
    queue.put((before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def measure_memory(device: torch.device, slices: int) -> dict[str, float]:
    """Peak resident memory of a fresh process that denoises one slice, then many; MiB."""
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[tuple[float, float]] = context.Queue()
    process = context.Process(target=_peak_memory, args=(slices, str(device), queue))
    process.start()
    one, many = queue.get()
    process.join()
    volumes = 2 * slices * SIZE**2 * 2 / 2**20
    print(f"peak memory: {one:.0f} MiB for 1 slice, {many:.0f} MiB for {slices} ({volumes:.0f} MiB of it input and output)")
    return {"peak_mib_1_slice": one, f"peak_mib_{slices}_slices": many}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--memory-slices", type=int, default=300)
    options = parser.parse_args()
    device = choose_device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{device} ({name}), torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {platform.machine()}")
    figures = measure(device, options.repeats) | measure_memory(device, options.memory_slices)
    target = Path("benchmarks/results/engine_speed.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
