"""The engine on a CUDA GPU: same voxels as the CPU, whatever the batch and the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from LDCTDenoiseLib import Denoiser, simulate_low_dose
from LDCTDenoiseLib.simulation.phantom import make_phantom

pytestmark = pytest.mark.cuda


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return make_phantom(7, 256).scan(0.25, device="cuda")


def test_float32_agrees_with_the_cpu(volume: np.ndarray) -> None:
    expected = Denoiser(device="cpu")(volume.astype(np.float32))
    found = Denoiser(device="cuda", precision="float32")(volume.astype(np.float32))
    assert np.abs(found - expected).max() < 1  # cuDNN's TF32 convolutions


def test_half_precision_stays_within_one_hu(volume: np.ndarray) -> None:
    expected = Denoiser(device="cpu")(volume.astype(np.float32))
    found = Denoiser(device="cuda")(volume.astype(np.float32))
    assert np.abs(found - expected).max() < 1
    assert abs(float((found - expected).mean())) < 0.01


@pytest.mark.parametrize("batch_size", [1, 2, 7, 16])
def test_overlapped_transfers_keep_the_slices_in_order(volume: np.ndarray, batch_size: int) -> None:
    expected = Denoiser(device="cuda", batch_size=1, precision="float32")(volume.astype(np.float32))
    found = Denoiser(device="cuda", batch_size=batch_size, precision="float32")(volume.astype(np.float32))
    assert np.abs(found - expected).max() < 0.5


def test_little_memory_is_enough(volume: np.ndarray) -> None:
    expected = Denoiser(device="cuda", precision="float32")(volume)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.5 * 2**30 / total)
    try:
        found = Denoiser(device="cuda", precision="float32", batch_size=7)(volume)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_simulation_gives_the_cpus_noise() -> None:
    truth = make_phantom(1, 128)
    on_cpu, on_gpu = (
        simulate_low_dose(truth.truth, truth.spacing, 0.25, photons=1e5, device=device) for device in ("cpu", "cuda")
    )
    assert np.abs(on_cpu - on_gpu).max() < 1


def test_device_by_number(tiny_model: Path) -> None:
    assert Denoiser(tiny_model, device="cuda:0").device == torch.device("cuda:0")
