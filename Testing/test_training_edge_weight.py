"""Steep edges of the normal dose can count more in the loss; flat places and noise hardly do."""

from __future__ import annotations

import pytest
import torch

from LDCTDenoiseLib.hu import DEFAULT_SCALE
from LDCTDenoiseLib.training.edge_weight import edge_strength
from Testing.test_training import module_for


def step_edge(contrast_hu: float) -> torch.Tensor:
    image = torch.zeros(1, 1, 32, 32)
    image[..., 16:] = contrast_hu
    return image


def test_strength_grows_with_the_slope_and_is_none_in_flat_places() -> None:
    faint, middle, steep = (edge_strength(step_edge(contrast))[0, 0] for contrast in (10.0, 100.0, 1000.0))
    assert steep[10, 15] > 0.99
    assert 0.5 < middle[10, 15] < 0.9
    assert faint[10, 15] < 0.05
    assert not steep[:, :12].any()
    assert torch.equal(steep[0], steep[16])  # no edge at the patch's own border


def test_direction_and_sign_do_not_matter() -> None:
    across = edge_strength(step_edge(200.0))
    torch.testing.assert_close(edge_strength(step_edge(200.0).mT), across.mT)
    torch.testing.assert_close(edge_strength(-step_edge(200.0)), across)


def test_the_noise_of_a_normal_dose_is_no_edge() -> None:
    noise = 12 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    assert edge_strength(noise).mean() < 0.1


def test_an_error_on_an_edge_counts_more() -> None:
    full = step_edge(500.0)

    def loss(column: int, **settings: float) -> float:
        error = torch.zeros_like(full)
        error[..., column] = 10.0
        return module_for(**settings).loss(DEFAULT_SCALE.to_unit(full + error), full, full).item()

    assert loss(15) == pytest.approx(loss(3), rel=1e-3)
    assert loss(3, edge_weight=6.0) == pytest.approx(loss(3), rel=1e-3)
    strength = edge_strength(full)[0, 0, 10, 15].item()
    assert loss(15, edge_weight=6.0) == pytest.approx((1 + 6 * strength) * loss(15), rel=1e-3)
