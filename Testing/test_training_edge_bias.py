"""The bias on steep edges: blur of them costs, noise on them and what is flat or faint does not."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from LDCTDenoiseLib.hu import DEFAULT_SCALE
from LDCTDenoiseLib.training.edge_bias import edge_bias, edge_share, mirrored
from Testing.test_training import module_for


def step_edge(contrast_hu: float) -> torch.Tensor:
    """An edge with the point spread of a body kernel (SD 0.65 pixels)."""
    position = torch.arange(32.0) - 15.5
    profile = 0.5 * torch.erfc(-position / (2**0.5 * 0.65))
    return (contrast_hu * profile).expand(1, 1, 32, 32).clone()


def blurred(image: torch.Tensor) -> torch.Tensor:
    taps = torch.tensor([0.25, 0.5, 0.25])
    return F.conv2d(F.pad(image, (1, 1, 0, 0), mode="replicate"), taps[None, None, None, :])


def blur_costs(contrast_hu: float) -> float:
    full = step_edge(contrast_hu)
    error = blurred(full) - full
    return edge_bias(torch.cat([error, error]), torch.cat([full, full]))[0].item()


def test_steep_edges_count_and_faint_ones_do_not() -> None:
    assert edge_share(step_edge(200.0))[0, 0, 16, 15:17].min() > 0.5
    assert edge_share(step_edge(100.0)).max() < 0.01
    assert edge_share(step_edge(1000.0))[..., :10].max() < 1e-6
    noise = 15 * torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    assert edge_share(noise).max() < 0.01


def test_direction_and_sign_do_not_matter() -> None:
    across = edge_share(step_edge(300.0))
    torch.testing.assert_close(edge_share(step_edge(300.0).mT), across.mT)
    torch.testing.assert_close(edge_share(-step_edge(300.0)), across)


def test_the_same_blur_does_not_cost_more_the_steeper_the_edge() -> None:
    assert blur_costs(100.0) < 0.01 * blur_costs(200.0)
    assert blur_costs(1600.0) == pytest.approx(blur_costs(800.0) / 4, rel=0.02)
    assert blur_costs(800.0) == pytest.approx(blur_costs(400.0) / 4, rel=0.02)
    assert blur_costs(400.0) < blur_costs(200.0)


def test_noise_left_on_an_edge_costs_nothing_and_blur_does() -> None:
    full = step_edge(400.0)
    low = full + 20 * torch.randn(full.shape, generator=torch.Generator().manual_seed(0))
    both_full, both_low = mirrored(full, low)
    torch.testing.assert_close(both_low.mean(dim=0, keepdim=True), full)
    # The input is noisy and without bias; a smoothing network leaves less noise and moves the edge.
    assert edge_bias(both_low - both_full, both_full).max() < 1e-6
    assert edge_bias(blurred(both_low) - both_full, both_full)[0].item() == pytest.approx(blur_costs(400.0), rel=1e-4)


def test_the_loss_adds_the_bias_by_its_weight_whatever_the_noise() -> None:
    full = step_edge(400.0)
    both = torch.cat([full, full])
    result = DEFAULT_SCALE.to_unit(blurred(both))
    noise = torch.randn(full.shape, generator=torch.Generator().manual_seed(0))

    def added(noise_hu: float) -> float:
        low = torch.cat([full + noise_hu * noise, full - noise_hu * noise])
        with_bias, without = (
            module_for(edge_bias=weight, noise_weighted=True).loss(result, both, low).item() for weight in (2e7, 0.0)
        )
        return with_bias - without

    assert added(10.0) == pytest.approx(2e7 * blur_costs(400.0) / 4095**2, rel=1e-3)
    assert added(60.0) == pytest.approx(added(10.0), rel=1e-3)


def test_a_step_sees_each_patch_with_its_noise_and_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_for(edge_bias=10.0)
    denoise, seen = module.denoise, []

    def watched(low: torch.Tensor, halo: int) -> torch.Tensor:
        seen.append(low)
        return denoise(low, halo)

    monkeypatch.setattr(module, "denoise", watched)
    full = torch.full((2, 1, 16, 16), 40.0)
    module.step_loss(full, full + 7)
    assert seen[0].flatten(1)[:, 0].tolist() == [47.0, 47.0, 33.0, 33.0]
