"""The machine, in words that fit into a public document, and what it can do at most."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from LDCTDenoiseLib.inference.backends import onednn, openvino

MATRIX = 2048
CUDA_MATRIX = 8192
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "avx512_vnni")
_PACKAGES = ("torch", "openvino", "numpy", "scikit-image", "SimpleITK", "bm3d")
_COPIED_MIB = 512


def describe(device: torch.device) -> dict[str, Any]:
    """Processor, instruction sets, cores, memory and versions; no name of the machine."""
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = dict(line.split(":", 1) for line in cpu.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    flags = fields.get("flags", "").split()
    family = "".join(f", {key} {fields[key]}" for key in ("cpu family", "model") if key in fields)
    described = {
        "processor": fields.get("model name", platform.machine()) + family,
        "instructions": [one for one in _INSTRUCTIONS if one in flags] or [torch.backends.cpu.get_cpu_capability()],
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        described["gpu"] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    return described


def warn_if_busy() -> None:
    """Say so where the figures would not be consistent."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > cores / 4:
        print(f"The machine is busy (load {load:.1f} on {cores} cores): the figures will not be consistent.", flush=True)
    if torch.get_num_threads() < cores:
        print(
            f"PyTorch has {torch.get_num_threads()} of {cores} threads (OMP_NUM_THREADS?): the figures will be too slow.",
            flush=True,
        )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def matrix_products(device: torch.device) -> dict[str, tuple[Callable[[], object], float]]:
    """Matrix products by name, each with its FLOP: what a computation can be held against."""
    size = CUDA_MATRIX if device.type == "cuda" else MATRIX
    flop = 2.0 * size**3
    products: dict[str, tuple[Callable[[], object], float]] = {}
    # A CPU without the instructions takes a minute for the second.
    quick = [torch.float32, *([torch.bfloat16] if device.type == "cuda" or onednn.has_bfloat16() else [])]
    for dtype in quick:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        products[f"matrix product {str(dtype)[6:]}"] = (lambda a=a, b=b: a @ b), flop
    if device.type == "cpu" and openvino.is_installed():
        products["matrix product float32 by OpenVINO"] = _openvino_product(size), flop
    return products


def _openvino_product(size: int) -> Callable[[], object]:
    library = openvino.load()
    opset13 = library.opset13
    a, b = opset13.parameter([size, size]), opset13.parameter([size, size])
    properties = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(torch.get_num_threads())}
    compiled = library.Core().compile_model(library.Model([opset13.matmul(a, b, False, False)], [a, b]), "CPU", properties)
    request = compiled.create_infer_request()
    inputs = [torch.randn(size, size).numpy() for _ in range(2)]
    return lambda: request.infer(inputs, share_inputs=True)


def memory_bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by a copy between large arrays that are there already; the best of five."""
    source = torch.zeros(_COPIED_MIB * 2**18, device=device)
    target = torch.zeros_like(source)
    best = min(timed(lambda: target.copy_(source), device) for _ in range(5))
    return 2 * _COPIED_MIB * 2**20 / best


def timed(function: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
