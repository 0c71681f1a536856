"""Lesions of the loss: their size in mm, their contrast, and what losing them costs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from LDCTDenoiseLib.training.level_training import crop
from LDCTDenoiseLib.training.losses.lesion_response import lesion_response
from LDCTDenoiseLib.training.patches import lesions as lesions_module
from LDCTDenoiseLib.training.patches.inserts import between, coverage
from LDCTDenoiseLib.training.patches.lesions import DRAWS, DRAWS_PER_PATCH, KINDS, PER_PATCH, paint_lesions

SIDE = 96


def draws_of_the_first_disc(kind: float = 0.0) -> torch.Tensor:
    """One disc in the middle of a patch; the other three of the patch have left it for its corners."""
    draws = torch.zeros(1, DRAWS_PER_PATCH)
    discs = draws[:, :-1].view(PER_PATCH, DRAWS)
    discs[:, 0] = kind
    discs[0] = torch.tensor([kind, 0.5, 1.0, 0.5, 0.5, 0.5])
    return draws


@pytest.mark.parametrize("lesion", KINDS)
def test_a_lesion_has_its_contrast_and_its_area_in_mm(lesion: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    contrast, radius = lesion
    monkeypatch.setattr(lesions_module, "SHARES", [float(kind == lesion) for kind in KINDS])
    spacing = torch.tensor([0.4])  # small pixels: even the smallest disc reaches its height
    patch = paint_lesions(draws_of_the_first_disc(), spacing, SIDE)[0, 0]
    middle = slice(SIDE // 2 - 20, SIDE // 2 + 20)
    area = float(patch[middle, middle].sum()) * 0.4**2 / contrast
    assert area == pytest.approx(math.pi * radius**2, rel=0.15)
    assert float(patch[SIDE // 2, SIDE // 2]) == pytest.approx(contrast, rel=0.1)


def test_a_lesion_of_the_same_size_takes_fewer_pixels_where_they_are_larger() -> None:
    counts = [int((paint_lesions(draws_of_the_first_disc(), torch.tensor([mm]), SIDE)[0, 0] > 5).sum()) for mm in (0.3, 0.6)]
    assert counts[0] == pytest.approx(4 * counts[1], rel=0.1)


def test_small_lesions_are_drawn_more_often_but_not_where_they_are_one_pixel() -> None:
    heights = []
    for mm in (0.4, 0.8):
        drawn = [paint_lesions(draws_of_the_first_disc(kind), torch.tensor([mm]), SIDE) for kind in (0.1, 0.5, 0.9)]
        heights.append([round(float(patch[0, 0, SIDE // 2, SIDE // 2])) for patch in drawn])
    assert heights[0] == pytest.approx([40, 100, 100], rel=0.1)
    assert heights[1] == pytest.approx([10, 20, 40], rel=0.1)


def test_lesions_of_a_patch_with_a_halo_lie_where_the_loss_sees_them() -> None:
    halo, side = 17, 98
    # Of centres drawn over the halo too, all four of a patch would lie outside in one patch of eighty.
    draws = torch.rand(1000, DRAWS_PER_PATCH, generator=torch.Generator().manual_seed(1))
    energy = crop(paint_lesions(draws, torch.full((1000,), 0.7), side, halo), halo).square().sum(dim=(1, 2, 3))
    assert energy.min() > 1000, "HU squared: a single disc has more"


def test_without_a_halo_a_tenth_of_the_patch_along_its_borders_has_no_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = torch.rand(50, DRAWS_PER_PATCH, generator=torch.Generator().manual_seed(1))
    centres: list[torch.Tensor] = []

    def remember(side: int, centre: tuple[torch.Tensor, torch.Tensor], *shape: Any) -> torch.Tensor:
        centres.extend(centre)
        return coverage(side, centre, *shape)

    monkeypatch.setattr(lesions_module, "coverage", remember)
    paint_lesions(draws, torch.full((50,), 0.7), 64)
    for centre, share in zip(centres, draws[:, :-1].reshape(50, PER_PATCH, DRAWS).unbind(2)[4:], strict=True):
        assert torch.equal(centre[..., 0, 0], between(share, (0.1, 0.9))), "bit for bit: trainings are resumed"


def test_the_loss_is_the_lost_share_of_the_lesions_square() -> None:
    lesions = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 20
    assert float(lesion_response(lesions, lesions)) == 0
    assert float(lesion_response(torch.zeros_like(lesions), lesions)) == pytest.approx(1)
    assert float(lesion_response(0.5 * lesions, lesions)) == pytest.approx(0.25)
    faint = lesions * torch.tensor([1.0, 0.1, 0.1])[:, None, None, None]
    assert float(lesion_response(0.5 * faint, faint)) == pytest.approx(0.25), "a faint lesion counts as much as a plain one"
