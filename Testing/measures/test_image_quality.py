from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from LDCTDenoiseLib.measures.image_quality import ABDOMEN, CHEST, Window, hu_bias, psnr, rmse, ssim, tissue_mask

WINDOWS = pytest.mark.parametrize("window", [ABDOMEN, CHEST], ids=lambda window: window.name)


def tissue(slices: int = 2, size: int = 64, seed: int = 0) -> np.ndarray:
    """Fat, soft tissue and bone in squares, with noise: float64 HU, within and outside the windows."""
    image = np.full((slices, size, size), -1000.0)
    image[:, 6:-6, 6:-6] = -100
    image[:, 14:-14, 14:-14] = 60
    image[:, 30:36, 30:36] = 900
    return image + np.random.default_rng(seed).normal(0, 20, image.shape)


@WINDOWS
def test_psnr_agrees_with_skimage_in_the_window(window: Window) -> None:
    reference, image = tissue(seed=1), tissue(seed=2)
    expected = peak_signal_noise_ratio(
        reference.clip(window.low, window.high), image.clip(window.low, window.high), data_range=window.width
    )
    ours = psnr(torch.from_numpy(image), torch.from_numpy(reference), window)
    assert float(ours) == pytest.approx(expected, abs=1e-6)


def test_windows_are_the_ones_they_are_named_after() -> None:
    assert (ABDOMEN.low, ABDOMEN.high) == (-150, 250)
    assert (CHEST.low, CHEST.high) == (-1350, 150)


@pytest.mark.parametrize(("hu", "other"), [(0, 5), (-3, 3), (-20, 20)])
def test_ssim_does_not_depend_on_where_hu_are_zero(hu: float, other: float) -> None:
    flat = np.zeros((1, 16, 16))
    assert ssim(flat + hu, flat + other, ABDOMEN) > 0.96


@given(offset=st.floats(0.01, 80))
def test_psnr_of_an_offset_is_the_width_over_it(offset: float) -> None:
    reference = torch.full((1, 4, 4), 100.0, dtype=torch.float64)
    assert float(psnr(reference + offset, reference, ABDOMEN)) == pytest.approx(20 * np.log10(400 / offset), abs=1e-6)


def test_what_the_window_does_not_show_does_not_count() -> None:
    reference, image = tissue(seed=1), tissue(seed=1)
    image[image > 300] += 500
    image[image < -200] -= 500
    assert torch.isinf(psnr(torch.from_numpy(image), torch.from_numpy(reference), ABDOMEN))
    assert ssim(image, reference, ABDOMEN) == pytest.approx(1)
    assert rmse(image, reference) > 100


@WINDOWS
def test_ssim_agrees_with_its_formula_and_with_skimage(window: Window) -> None:
    reference, image = (tissue(seed=seed).clip(window.low, window.high) - window.low for seed in (1, 2))

    def mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, 1.5, truncate=3.5)  # 11 x 11 weights

    c1, c2 = (0.01 * window.width) ** 2, (0.03 * window.width) ** 2
    by_formula = []
    for one, other in zip(reference, image, strict=True):
        mean_one, mean_other = mean(one), mean(other)
        variances = mean(one**2) - mean_one**2 + mean(other**2) - mean_other**2
        covariance = mean(one * other) - mean_one * mean_other
        similarity = (2 * mean_one * mean_other + c1) * (2 * covariance + c2)
        similarity /= (mean_one**2 + mean_other**2 + c1) * (variances + c2)
        by_formula.append(similarity[5:-5, 5:-5].mean())
    by_skimage = [
        structural_similarity(one, other, data_range=window.width, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for one, other in zip(reference, image, strict=True)
    ]
    ours = ssim(tissue(seed=2), tissue(seed=1), window)
    assert ours == pytest.approx(np.mean(by_formula), abs=1e-6)
    assert ours == pytest.approx(np.mean(by_skimage), abs=1e-9)
    assert ours < 0.95


def test_ssim_takes_slices_one_by_one() -> None:
    reference, image = tissue(seed=1), tissue(seed=2)
    image[1] = reference[1]
    assert ssim(image, reference, ABDOMEN) == pytest.approx((ssim(image[:1], reference[:1], ABDOMEN) + 1) / 2)


def test_ssim_refuses_volumes_of_different_length() -> None:
    with pytest.raises(ValueError, match="zip"):
        ssim(tissue(2), tissue(3), ABDOMEN)


def test_rmse_is_in_hu_over_all_voxels() -> None:
    reference = np.zeros((1, 2, 2), np.int16)
    image = np.array([[[3, 4], [0, 0]]], np.int16)
    assert rmse(image, reference) == pytest.approx(2.5)


def test_int16_differences_do_not_overflow() -> None:
    low, high = np.full((1, 4, 4), -30000, np.int16), np.full((1, 4, 4), 30000, np.int16)
    assert rmse(high, low) == 60000
    assert hu_bias(high, low, np.ones(low.shape, bool)) == 60000


def noisy_tissue(truth_hu: float, noise_hu: float) -> tuple[np.ndarray, np.ndarray]:
    """Truth and noisy reference: a square of tissue in fat. Enough voxels for a mean that is good to 0.01 HU or so."""
    truth = np.full((16, 256, 256), -100.0, np.float32)
    truth[:, 20:-20, 20:-20] = truth_hu
    noise = np.random.default_rng(5).normal(0, noise_hu, truth.shape)
    return truth, np.rint(truth + noise).astype(np.int16)


def test_bias_of_half_an_hu_is_found_on_a_noisy_reference() -> None:
    truth, reference = noisy_tissue(60, 15)
    mask = tissue_mask(reference, (20, 100))
    assert hu_bias(truth + 0.5, reference, mask) == pytest.approx(0.5, abs=0.05)
    assert hu_bias(truth - 0.5, reference, mask) == pytest.approx(-0.5, abs=0.05)


def test_perfect_output_shows_no_bias_where_the_references_own_voxels_would_fake_one() -> None:
    truth, reference = noisy_tissue(60, 15)
    # The tissue's HU lies near the end of the range: of its voxels only those that noise lifted would count.
    by_voxel = (reference >= 50) & (reference <= 150)
    assert hu_bias(truth, reference, by_voxel) < -2
    assert hu_bias(truth, reference, tissue_mask(reference, (50, 150))) == pytest.approx(0, abs=0.05)


def test_tissue_mask_holds_the_tissue_without_its_border() -> None:
    truth, reference = noisy_tissue(60, 10)
    mask = tissue_mask(reference, (0, 120))
    inside = truth == 60
    assert not mask[~inside].any()
    # 2 pixels are dropped everywhere, and what the averaging of fat and tissue takes off range: 5 to 6 pixels in all.
    shallow = inside.copy()
    shallow[:, 22:-22, 22:-22] = False
    assert not mask[shallow].any()
    assert mask[:, 27:-27, 27:-27].all()


def test_tissue_mask_sees_each_slice_alone() -> None:
    volume = np.zeros((3, 32, 32), np.float32)
    volume[1] = 500
    np.testing.assert_array_equal(tissue_mask(volume, (-50, 50)), (volume == 0))


def test_tissue_that_fills_the_image_is_masked_up_to_its_edge() -> None:
    assert tissue_mask(np.full((1, 20, 30), 40, np.int16), (30, 50)).all()


def test_a_tissue_that_is_not_there_has_no_bias() -> None:
    reference = np.full((1, 20, 20), 40, np.int16)
    mask = tissue_mask(reference, (300, 400))
    assert not mask.any()
    assert np.isnan(hu_bias(reference, reference, mask))
