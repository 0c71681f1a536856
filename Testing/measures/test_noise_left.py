"""Noise left does what its definition says."""

from __future__ import annotations

import numpy as np
import pytest

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.measures.noise_left import TILE_PX, body_of_tiles, measure_noise_left, noise_left, noise_left_of_tiles

SIDE = 8 * TILE_PX


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Normal and low dose of a slice whose quarters are lung, fat, soft tissue and bone."""
    rng = np.random.default_rng(1)
    full = np.full((2, SIDE, SIDE), -800.0)
    full[:, : SIDE // 2, SIDE // 2 :] = -100
    full[:, SIDE // 2 :, : SIDE // 2] = 50
    full[:, SIDE // 2 :, SIDE // 2 :] = 500
    full += rng.normal(0, 5, full.shape)
    return full, full + rng.normal(0, 30, full.shape)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_blend_of_input_and_truth_leaves_its_share(pair: tuple[np.ndarray, np.ndarray], share: float) -> None:
    full, low = pair
    output = share * low + (1 - share) * full
    assert noise_left(output, full, low) == pytest.approx(share, abs=1e-9)
    found = measure_noise_left(output, full, low)
    assert found.by_tissue == pytest.approx(dict.fromkeys(("lung", "fat", "soft", "bone"), share), abs=1e-9)
    assert (found.median, found.p90) == (pytest.approx(share, abs=1e-9), pytest.approx(share, abs=1e-9))


def test_what_stands_in_one_tissue_is_told_for_that_tissue_and_by_the_90th_percentile(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    full, low = pair
    output = full.copy()
    output[:, SIDE // 2 :, SIDE // 2 :] = low[:, SIDE // 2 :, SIDE // 2 :]  # an island: all of the noise in bone
    found = measure_noise_left(output, full, low)
    assert found.by_tissue == pytest.approx({"lung": 0, "fat": 0, "soft": 0, "bone": 1}, abs=1e-9)
    assert (found.median, found.p90) == (pytest.approx(0, abs=1e-9), pytest.approx(1, abs=1e-9))


def test_a_shift_and_the_references_own_noise_hardly_count(pair: tuple[np.ndarray, np.ndarray]) -> None:
    full, low = pair
    smoother = full - np.random.default_rng(2).normal(0, 5, full.shape)
    assert noise_left(smoother + 10, full, low) == pytest.approx(0, abs=0.01)


def test_a_blur_leaves_the_mean_of_its_transfer_function(pair: tuple[np.ndarray, np.ndarray]) -> None:
    _, low = pair
    flat = np.zeros_like(low)
    white = np.random.default_rng(3).normal(0, 20, low.shape)
    blur = np.exp(-2 * (np.pi * 1.2) ** 2 * sum(np.square(np.meshgrid(*[np.fft.fftfreq(SIDE)] * 2))))
    blurred = np.fft.ifft2(np.fft.fft2(white) * blur).real
    assert noise_left(blurred, flat, white) == pytest.approx(blur.mean(), rel=0.05)


def test_tiles_outside_the_body_do_not_count(pair: tuple[np.ndarray, np.ndarray]) -> None:
    full, low = pair
    full[:, : SIDE // 2] = low[:, : SIDE // 2] = -1000
    low[:, : SIDE // 2] += 5
    tiles = noise_left_of_tiles(low, full, low)
    assert tiles.shape == (2, 8, 8)
    assert np.isnan(tiles[:, :4]).all()
    assert tiles[:, 5:] == pytest.approx(1)
    body = body_of_tiles(full)
    np.testing.assert_array_equal(noise_left_of_tiles(low, full, low, body), tiles)
    body[:, -TILE_PX:] = False  # what is handed over is what counts
    assert np.isnan(noise_left_of_tiles(low, full, low, body)[:, -1]).all()


def test_absent_tissue_and_equal_doses_give_nan(pair: tuple[np.ndarray, np.ndarray]) -> None:
    full, low = pair
    soft = full[:, SIDE // 2 :, : SIDE // 2]
    assert np.isnan(measure_noise_left(soft, soft, low[:, SIDE // 2 :, : SIDE // 2]).by_tissue["bone"])
    assert np.isnan(noise_left(low, full, full))
    assert np.isnan(measure_noise_left(full, full, full).p90)


def test_images_of_other_shapes_are_refused(pair: tuple[np.ndarray, np.ndarray]) -> None:
    full, low = pair
    with pytest.raises(InputError, match="one shape"):
        noise_left(low[:1], full, low)
