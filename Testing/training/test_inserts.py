"""Ellipses of known contrast in training patches: the same in both doses, sharp as they should be, padding left alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.training.config import DataConfig, LevelConfig, TrainingConfig
from LDCTDenoiseLib.training.patches.batches import PatchBatches
from LDCTDenoiseLib.training.patches.cases import Case, NoiseInsertedCase, PairedCase
from LDCTDenoiseLib.training.patches.inserts import (
    CONTRAST_HU,
    DRAWS,
    DRAWS_PER_PATCH,
    EDGE_SD_PIXELS,
    RADIUS_PIXELS,
    paint_inserts,
)
from LDCTDenoiseLib.training.patches.noise_cache import PreparedVolume
from LDCTDenoiseLib.training.patches.pair_cache import PreparedPair

SIDE = 65


def disc(contrast_hu: float, radius: float, edge_sd: float) -> torch.Tensor:
    """Draws of one patch with one disc in its middle."""

    def log_share(value: float, limits: tuple[float, float]) -> float:
        return math.log(value / limits[0]) / math.log(limits[1] / limits[0])

    draws = torch.ones(1, DRAWS_PER_PATCH)  # 1 is above every chance: no other is there
    round_ = log_share(radius, RADIUS_PIXELS)
    draws[0, :DRAWS] = torch.tensor(
        [0.0, log_share(abs(contrast_hu), CONTRAST_HU), float(contrast_hu > 0), 0.5, 0.5, *[round_] * 2, 0]
    )
    draws[0, -1] = (edge_sd - EDGE_SD_PIXELS[0]) / (EDGE_SD_PIXELS[1] - EDGE_SD_PIXELS[0])
    return draws


@pytest.mark.parametrize(("contrast_hu", "radius", "edge_sd"), [(200.0, 12.0, 0.6), (-40.0, 20.0, 1.1)])
def test_a_disc_has_its_contrast_its_size_and_its_sharpness(contrast_hu: float, radius: float, edge_sd: float) -> None:
    patch = paint_inserts(disc(contrast_hu, radius, edge_sd), 1.0, SIDE)[0] / contrast_hu
    middle = SIDE // 2
    assert patch[middle, middle] == pytest.approx(1, abs=1e-4)
    assert patch[0, 0] == pytest.approx(0, abs=1e-4)
    assert patch.sum() == pytest.approx(math.pi * (radius**2 + edge_sd**2), rel=0.01)
    line = patch[middle, middle:].double().numpy()  # across the border
    spread = -np.gradient(line)
    spread /= spread.sum()
    place = np.arange(len(line))
    mean = (spread * place).sum()
    assert mean == pytest.approx(radius, abs=0.05)
    # np.gradient averages over a pixel (variance 1/12) at two places half a pixel away (1/4).
    assert (spread * (place - mean) ** 2).sum() == pytest.approx(edge_sd**2 + 1 / 3, rel=0.02)


def test_as_many_are_there_as_the_chance_says() -> None:
    draws = torch.rand(600, DRAWS_PER_PATCH, generator=torch.Generator().manual_seed(1))
    assert not paint_inserts(draws, 0.0, 32).any()
    empty = (paint_inserts(draws, 0.3, 32).abs().amax(dim=(1, 2)) < 1e-3).float().mean()
    assert empty == pytest.approx(0.7**3, abs=0.07)


def noisy_case() -> NoiseInsertedCase:
    hu = np.full((3, 64, 64), 50, np.int16)
    hu[:, :20] = -1024
    noise = np.random.default_rng(0).normal(0, 10, (2, 3, 64, 64)).astype(np.float16)
    return NoiseInsertedCase(PreparedVolume(hu, noise, (1.0, 1.0), 10.0))


def paired_case() -> PairedCase:
    full = np.full((3, 64, 64), 50, np.int16)
    full[:, :20] = -1024
    low = full + np.where(full > -1024, 7, 0).astype(np.int16)
    return PairedCase(PreparedPair(full, low, (1.0, 1.0)))


@pytest.mark.parametrize("case", [noisy_case(), paired_case()], ids=["inserted noise", "measured pair"])
def test_both_doses_get_the_same_and_padding_nothing(case: Case) -> None:
    def images(inserts: float) -> tuple[torch.Tensor, torch.Tensor]:
        config = DataConfig(patch_size=32, batch_size=16, inserts=inserts)
        return PatchBatches([case], config, halo=0, batches=1, seed=[3])[0].images()[:2]

    (full, low), (plain_full, plain_low) = images(0.9), images(0.0)
    assert not torch.equal(full, plain_full)
    padding = plain_full == -1024
    assert torch.equal(full[padding], plain_full[padding])
    assert torch.equal(low[padding], plain_low[padding])
    above_floor = ~padding & (full > -900)
    assert (low - full)[above_floor].numpy() == pytest.approx((plain_low - plain_full)[above_floor].numpy(), abs=1e-3)
    assert full.min() == low.min() == -1024


def test_processes_share_the_inserts_of_a_batch() -> None:
    config = DataConfig(patch_size=32, batch_size=8, inserts=0.5)
    cases = [noisy_case(), paired_case()]

    def batch(share: tuple[int, int]) -> list[torch.Tensor]:
        full = PatchBatches(cases, config, halo=0, batches=1, seed=[4], share=share)[0].images().full
        return sorted(full, key=lambda patch: float(patch.double().sum()))

    apart = sorted([*batch((0, 2)), *batch((1, 2))], key=lambda patch: float(patch.double().sum()))
    assert all(torch.equal(one, other) for one, other in zip(batch((0, 1)), apart, strict=True))


@pytest.mark.parametrize("chance", [-0.1, 1.5])
def test_a_chance_outside_0_to_1_is_refused(chance: float) -> None:
    level = LevelConfig("drl", "image", 250)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must be 0 to 1"):
        TrainingConfig("x", "x", (level,), DataConfig(inserts=chance))
