from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.measures.noise_level import noise_sd, uniform_windows, window_size

SPACING = (0.8, 0.8)
SIDE = 12  # pixels of a 10 mm window at 0.8 mm


def noise(shape: tuple[int, ...], sd: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sd, shape)


def grid_of_windows(volume: np.ndarray) -> np.ndarray:
    z, y, x = np.meshgrid(
        range(volume.shape[0]),
        range(0, volume.shape[1] - SIDE + 1, SIDE),
        range(0, volume.shape[2] - SIDE + 1, SIDE),
        indexing="ij",
    )
    return np.stack([z.ravel(), y.ravel(), x.ravel()], axis=1)


@pytest.mark.parametrize(
    ("spacing", "expected"), [((0.8, 0.8), (12, 12)), ((0.5, 1.0), (20, 10)), ((2.5, 0.7), (4, 14)), ((40.0, 40.0), (4, 4))]
)
def test_a_window_is_10_mm_wide_and_even(spacing: tuple[float, float], expected: tuple[int, int]) -> None:
    assert window_size(spacing) == expected


@pytest.mark.parametrize("sd", [5.0, 20.0])
def test_noise_sd_is_that_of_the_noise(sd: float) -> None:
    volume = 60 + noise((2, 192, 192), sd)
    assert noise_sd(volume, grid_of_windows(volume), SPACING) == pytest.approx(sd, rel=0.02)


@settings(max_examples=30, deadline=None)
@given(slope=st.tuples(st.floats(-5, 5), st.floats(-5, 5)), level=st.floats(-1000, 1000))
def test_a_slope_is_no_noise(slope: tuple[float, float], level: float) -> None:
    flat = noise((1, 48, 48), 10)
    row, column = np.mgrid[:48, :48]
    tilted = flat + level + slope[0] * row + slope[1] * column
    windows = grid_of_windows(flat)
    assert noise_sd(tilted, windows, SPACING) == pytest.approx(noise_sd(flat, windows, SPACING), rel=1e-6)


def test_a_few_windows_with_structure_do_not_change_the_noise_sd() -> None:
    volume = noise((2, 192, 192), 10)
    volume[0, :36, :36] += 300 * (np.add.outer(np.arange(36), np.arange(36)) % 4 == 0)
    assert noise_sd(volume, grid_of_windows(volume), SPACING) == pytest.approx(10, rel=0.04)


def test_noise_of_integer_voxels_is_measured_as_well() -> None:
    volume = 60 + noise((2, 192, 192), 10)
    windows = grid_of_windows(volume)
    rounded = np.rint(volume).astype(np.int16)
    assert noise_sd(rounded, windows, SPACING) == pytest.approx(noise_sd(volume, windows, SPACING), rel=0.005)


def test_choosing_windows_by_their_uniformity_hardly_lowers_the_noise() -> None:
    # Where every window is uniform the choice falls on noise alone, the worst case; the calibration allows 5 %.
    volume = 60 + noise((4, 192, 192), 15)
    assert noise_sd(volume, uniform_windows(volume, SPACING), SPACING) == pytest.approx(15, rel=0.03)


@pytest.mark.parametrize("spacing", [(0.8, 0.8), (0.5, 1.0), (1.3, 0.7)])
def test_windows_are_those_with_the_most_equal_quarters(spacing: tuple[float, float]) -> None:
    rng = np.random.default_rng(4)
    volume = np.kron(rng.uniform(-60, 190, (2, 9, 8)), np.ones((1, 24, 24))) + noise((2, 216, 192), 12)
    height, width = window_size(spacing)
    half = (height // 2, width // 2)
    spreads = {}
    for z, row, column in np.ndindex(2, (216 - height) // half[0] + 1, (192 - width) // half[1] + 1):
        y, x = row * half[0], column * half[1]
        window = volume[z, y : y + height, x : x + width].astype(float)
        means = [part.mean() for rows in np.split(window, 2) for part in np.split(rows, 2, axis=1)]
        if min(means) > -20 and max(means) < 150:
            spreads[z, y, x] = max(means) - min(means)
    expected = sorted(spreads, key=lambda place: spreads[place])[: max(1, len(spreads) // 10)]
    assert len(expected) > 3
    np.testing.assert_array_equal(uniform_windows(volume, spacing), expected)


def test_windows_lie_in_soft_tissue_alone() -> None:
    volume = np.full((3, 120, 120), -1000.0)
    volume[:, 10:110, 10:110] = -100  # fat
    volume[:, 10:50, 10:50] = 600  # bone
    volume[1, 60:100, 30:100] = 60  # soft tissue, in this slice only
    volume += noise(volume.shape, 10)
    windows = uniform_windows(volume, SPACING)
    assert len(windows) >= 1
    assert (windows[:, 0] == 1).all()
    # A window that held more than a few voxels of fat would have a quarter out of range.
    assert (windows[:, 1] >= 56).all()
    assert (windows[:, 1] + SIDE <= 104).all()
    assert (windows[:, 2] >= 26).all()
    assert (windows[:, 2] + SIDE <= 104).all()


@pytest.mark.parametrize("quarter", [(0, 0), (0, 6), (6, 0), (6, 6)])
def test_a_window_with_bone_in_any_quarter_is_no_soft_tissue(quarter: tuple[int, int]) -> None:
    volume = 20 + noise((1, SIDE, SIDE), 5)  # a single window, whose mean stays soft tissue
    assert len(uniform_windows(volume, SPACING)) == 1
    volume[0, quarter[0] : quarter[0] + 6, quarter[1] : quarter[1] + 6] += 300
    with pytest.raises(InputError):
        uniform_windows(volume, SPACING)


def test_windows_avoid_organ_borders() -> None:
    volume = np.full((2, 144, 144), 40.0)
    volume[:, :, 70:] = 110
    volume += noise(volume.shape, 10)
    windows = uniform_windows(volume, SPACING)
    # 70 HU between the organs, against about 2 HU of noise in a quarter's mean.
    assert ((windows[:, 2] + SIDE <= 70) | (windows[:, 2] >= 70)).all()
    assert (windows[:, 2] + SIDE <= 70).any()
    assert (windows[:, 2] >= 70).any()


def test_windows_avoid_textured_tissue() -> None:
    volume = np.full((2, 144, 144), 60.0)
    row, column = np.mgrid[:144, :72]
    volume[:, :, 72:] += 40 * np.sin(row / 3) * np.sin(column / 3)
    volume += noise(volume.shape, 5)
    windows = uniform_windows(volume, SPACING)
    assert (windows[:, 2] + SIDE <= 75).mean() > 0.95
    assert noise_sd(volume, windows, SPACING) == pytest.approx(5, rel=0.05)


def test_windows_stay_within_the_image() -> None:
    volume = 60 + noise((2, 41, 67), 10)
    spacing = (1.0, 0.6)
    height, width = window_size(spacing)
    windows = uniform_windows(volume, spacing)
    assert (windows >= 0).all()
    assert (windows[:, 1] + height <= 41).all()
    assert (windows[:, 2] + width <= 67).all()
    assert np.isfinite(noise_sd(volume, windows, spacing))


@pytest.mark.parametrize(
    "volume",
    [
        pytest.param(np.full((2, 64, 64), -1000.0), id="air"),
        pytest.param(np.full((2, 64, 64), 400.0), id="bone"),
        pytest.param(np.full((2, 8, 64), 60.0), id="smaller than a window"),
    ],
)
def test_an_image_without_soft_tissue_is_refused(volume: np.ndarray) -> None:
    with pytest.raises(InputError, match="No uniform soft tissue"):
        uniform_windows(volume, SPACING)


def test_what_fills_an_image_is_no_tissue() -> None:
    row, column = np.mgrid[:240, :240] - 120
    organ = np.where(np.hypot(row, column) < 60, 50 + noise((2, 240, 240), 20), 0).round().astype(np.int16)
    assert noise_sd(organ, uniform_windows(organ, SPACING), SPACING) == pytest.approx(20, rel=0.05)


def test_a_phantoms_tissues_without_noise_are_tissue() -> None:
    volume = np.full((1, 240, 240), -1000.0)
    for number, hu in enumerate((30, 50, 60)):
        volume[:, 20:220, 20 + 60 * number : 80 + 60 * number] = hu
    volume[:, 170:220, 20:200] += noise((50, 180), 20)
    assert noise_sd(volume, uniform_windows(volume, SPACING), SPACING) == pytest.approx(0, abs=1e-9)
