"""Memory of the engine: however many slices, as much as for a few, beside the volume and the result."""

from __future__ import annotations

import subprocess
import sys

import pytest

from LDCTDenoiseLib.inference.backends import openvino

# A fresh process: the peak of this one says nothing. The volume is touched whole before, so that it is in both peaks.
MEASURE = r"""
import re, sys
from pathlib import Path
import numpy as np
from LDCTDenoiseLib import Denoiser

def peak():
    # Not resource.getrusage, which counts what the parent had before it started this process.
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])

backend, side, slices, network = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
denoiser = Denoiser(device="cpu", backend=backend, levels=1)
if network == "without":
    denoiser._computer.predict = lambda x: x + 0.01  # 41 HU
volume, out = (np.full((slices, side, side), fill, np.int16) for fill in (40, 0))
denoiser(volume[:1])
before = peak()
denoiser(volume, out=out)
print((peak() - before) / 1024)
assert (out[-1] != volume[-1]).any()
"""
BACKENDS = [
    "torch",
    pytest.param("openvino", marks=pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")),
]


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process's own peak is read as Linux tells it")


def growth(backend: str, side: int, slices: int, network: str) -> float:
    """MiB by which the peak grew while the volume was denoised."""
    command = [sys.executable, "-c", MEASURE, backend, str(side), str(slices), network]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_around_the_network_memory_does_not_grow_with_slices() -> None:
    # A mask of all voxels would be 62 MiB, all of them in float32 250 MiB.
    assert growth("torch", 256, 1000, "without") < 40


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thousand_slices_take_no_more_memory_than_a_hundred(backend: str) -> None:
    assert growth(backend, 512, 1000, "with") - growth(backend, 512, 100, "with") < 200
