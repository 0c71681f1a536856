"""Patches that keep a network from learning to leave noise: slabs, and the noise of elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.simulation.kernel import KERNELS, MeasuredKernel
from LDCTDenoiseLib.training.config import DataConfig, LevelConfig, TrainingConfig
from LDCTDenoiseLib.training.patches import cases as cases_module
from LDCTDenoiseLib.training.patches.batches import PatchBatches
from LDCTDenoiseLib.training.patches.cases import Case, NoiseInsertedCase, PairedCase
from LDCTDenoiseLib.training.patches.noise_cache import PreparedVolume
from LDCTDenoiseLib.training.patches.pair_cache import PreparedPair

QUIET_HU, LOUD_HU = 10.0, 500.0
"""Tissue by which a patch tells whose it is."""


def patient(hu_of_slices: list[float], noise_sd: float) -> NoiseInsertedCase:
    """Uniform slices with white noise."""
    shape = (len(hu_of_slices), 40, 40)
    hu = np.broadcast_to(np.array(hu_of_slices, np.int16)[:, None, None], shape)
    noise = noise_sd * np.random.default_rng(0).standard_normal((2, *shape))
    return NoiseInsertedCase(PreparedVolume(hu, noise.astype(np.float16), (1.0, 1.0), 10.0))


def patches(*cases: Case, **data: float) -> tuple[torch.Tensor, torch.Tensor]:
    config = DataConfig(patch_size=16, batch_size=200, dose_range=(0.5, 0.5), **data)  # type: ignore[arg-type]
    return PatchBatches(cases, config, halo=0, batches=1, seed=[0])[0].images()[:2]


def test_a_slab_is_the_mean_of_up_to_so_many_slices_of_the_volume() -> None:
    case = patient([0, 30, 90], 0.0)
    alone, _ = patches(case)
    slabs, low = patches(case, slab=3)
    assert set(alone.flatten().tolist()) == {0, 30, 90}
    assert set(slabs.flatten().tolist()) == {0, 15, 40, 30, 60, 90}  # means of slices 1, 1-2, 1-3, 2, 2-3, 3
    assert torch.equal(low, slabs)


def test_noise_comes_from_elsewhere_where_that_is_louder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases_module, "random_kernel", lambda rng, pixel_mm: KERNELS["soft"])
    cases = (patient([QUIET_HU], 5.0), patient([LOUD_HU], 50.0))

    def noise_of(hu: float, **data: float) -> torch.Tensor:
        full, low = patches(*cases, **data)
        mine = full.mean(dim=(1, 2, 3)) == hu
        return (low - full)[mine].std(dim=(1, 2, 3))

    loud = noise_of(LOUD_HU).min() * 0.8
    assert noise_of(QUIET_HU).max() < loud / 4
    with_louder = noise_of(QUIET_HU, noise_from_elsewhere=1.0) > loud
    assert 0.3 < with_louder.float().mean() < 0.7
    assert 0.1 < (noise_of(QUIET_HU, noise_from_elsewhere=0.5) > loud).float().mean() < 0.4
    assert noise_of(LOUD_HU, noise_from_elsewhere=1.0).min() > loud


def test_inserted_noise_may_have_the_texture_of_the_scan_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases_module, "random_kernel", lambda rng, pixel_mm: KERNELS["soft"])
    flat = MeasuredKernel((0.0, 1.0), (0.0, 1.0))
    case = replace(patient([QUIET_HU], 5.0), kernel=flat)

    def mean_frequency(**data: float) -> torch.Tensor:
        full, low = patches(case, **data)
        power = torch.fft.rfft2((low - full)[:, 0]).abs() ** 2
        frequency = torch.hypot(torch.fft.fftfreq(16)[:, None], torch.fft.rfftfreq(16))
        return (power * frequency).sum(dim=(1, 2)) / power.sum(dim=(1, 2))

    assert mean_frequency().max() < mean_frequency(own_kernel=1.0).min()
    share = (mean_frequency(own_kernel=0.5) > mean_frequency().max()).float().mean()
    assert 0.35 < share < 0.65


def test_measured_pairs_stay_as_they_are() -> None:
    full = np.broadcast_to(np.array([0, 30, 90], np.int16)[:, None, None], (3, 40, 40))
    pair = PairedCase(PreparedPair(full, (full + 7).astype(np.int16), (1.0, 1.0)))
    shown, low = patches(pair, patient([LOUD_HU], 50.0), slab=3, noise_from_elsewhere=1.0)
    measured = shown.mean(dim=(1, 2, 3)) < LOUD_HU
    assert set(shown[measured].flatten().tolist()) == {0, 30, 90}
    assert torch.equal(low[measured], shown[measured] + 7)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (DataConfig(slab=0), "slab 0 must be"),
        (DataConfig(kernel_by_pixel=-1.0), "kernel_by_pixel -1 must be"),
        (DataConfig(own_kernel=2.0), "own_kernel 2 must be"),
        (DataConfig(noise_from_elsewhere=1.5), "noise_from_elsewhere 1.5 must be"),
    ],
)
def test_impossible_settings_are_refused(data: DataConfig, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        TrainingConfig("x", "x", (LevelConfig("drl", "image", 1),), data)  # type: ignore[arg-type]
