"""Spectrum, resolution, contrast and bias against noise, blur, lesions and offsets that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import erf
from torchmetrics.functional.image import visual_information_fidelity

from LDCTDenoiseLib.evaluation.cnr import contrast_to_noise
from LDCTDenoiseLib.evaluation.ttf import task_transfer
from LDCTDenoiseLib.measures.image_quality import ABDOMEN, FULL_RANGE, SOFT_TISSUE, WINDOWS, vif
from LDCTDenoiseLib.measures.nps import NoisePower, noise_power, tissue_windows
from LDCTDenoiseLib.measures.tissue_bias import TISSUES, tissue_bias, tissue_masks
from LDCTDenoiseLib.simulation.phantom import (
    EDGE_CYLINDERS,
    LOW_CONTRAST_DISCS,
    POINT_SPREAD_MM,
    Insert,
    Phantom,
    make_phantom,
)

SPACING = (0.8, 0.8)
SIDE = 32


def coloured_noise(transfer: np.ndarray, slices: int, seed: int = 0) -> np.ndarray:
    """White noise of SD 20 HU times a transfer function, (rows, columns) in the order of ``numpy.fft.fftfreq``."""
    white = np.random.default_rng(seed).normal(0, 20, (slices, *transfer.shape))
    return np.fft.ifft2(np.fft.fft2(white) * transfer).real


def grid_of_windows(shape: tuple[int, ...]) -> np.ndarray:
    corners = np.mgrid[: shape[0], : shape[1] - SIDE + 1 : SIDE, : shape[2] - SIDE + 1 : SIDE]
    return corners.reshape(3, -1).T


def ct_like(size: int) -> np.ndarray:
    """A ramp that a soft kernel bends down again, as CT noise has it: (size, size)."""
    axis = np.fft.fftfreq(size, SPACING[0])
    frequency = np.hypot(axis[:, None], axis[None, :])
    return frequency * np.exp(-((frequency / 0.3) ** 2)) * 8


@pytest.mark.parametrize("transfer", [np.ones((256, 256)), ct_like(256)], ids=["white", "coloured"])
def test_the_integral_of_the_spectrum_is_the_variance(transfer: np.ndarray) -> None:
    noise = coloured_noise(transfer, 8)
    power = noise_power(noise, grid_of_windows(noise.shape), (SIDE, SIDE), SPACING)
    assert power.variance == pytest.approx(noise.var(), rel=0.02)


@pytest.mark.parametrize("transfer", [np.ones((256, 256)), ct_like(256)], ids=["white", "coloured"])
def test_the_spectrum_is_the_one_that_the_noise_was_made_with(transfer: np.ndarray) -> None:
    noise = coloured_noise(transfer, 12)
    measured = noise_power(noise, grid_of_windows(noise.shape), (SIDE, SIDE), SPACING)
    truth = NoisePower(np.fft.fftshift(transfer**2) * 20**2 * math.prod(SPACING), SPACING)
    frequency, power = measured.radial
    expected = np.interp(frequency, *truth.radial)
    # The lowest rings lose what the removed trend took.
    np.testing.assert_allclose(power[2:], expected[2:], atol=0.06 * expected.max())
    assert measured.mean_frequency == pytest.approx(np.sum(frequency * expected) / np.sum(expected), rel=0.02)


def test_the_peak_of_a_spectrum_is_where_its_noise_is_strongest() -> None:
    noise = coloured_noise(ct_like(256), 8)
    power = noise_power(noise, grid_of_windows(noise.shape), (SIDE, SIDE), SPACING)
    # The maximum of f^2 exp(-2 (f / 0.3)^2) lies at 0.3 / sqrt(2) per mm.
    assert power.peak_frequency == pytest.approx(10 * 0.3 / math.sqrt(2), abs=0.5)


def test_pixels_need_not_be_square() -> None:
    noise = np.random.default_rng(0).normal(0, 20, (8, 64, 64))
    power = noise_power(noise, grid_of_windows(noise.shape), (SIDE, SIDE), (0.5, 1.0))
    assert power.variance == pytest.approx(400, rel=0.02)
    assert power.radial[0].max() <= 5.001


def test_a_volume_without_soft_tissue_has_no_spectrum() -> None:
    assert tissue_windows(np.full((2, 128, 128), -1000, np.int16), SPACING) is None


def test_the_spectrum_of_no_noise_has_no_frequency() -> None:
    power = noise_power(np.zeros((1, 64, 64)), np.array([[0, 0, 0]]), (SIDE, SIDE), SPACING)
    assert math.isnan(power.mean_frequency)
    assert math.isnan(power.peak_frequency)


def blurred_disc(sigma_mm: float, contrast: float, size: int = 256, mm: float = 0.5) -> tuple[np.ndarray, Insert]:
    """A disc whose border is that of a Gaussian blur, and the insert that it is: (1, size, size)."""
    disc = Insert("disc", contrast, (3.3, -7.1), (20.0, 20.0))
    axis = (np.arange(size) - (size - 1) / 2) * mm
    distance = np.hypot(axis[:, None] - disc.centre[0], axis[None, :] - disc.centre[1]) - disc.radii[0]
    return 50 + contrast / 2 * (1 - erf(distance / sigma_mm / math.sqrt(2)))[None], disc


@pytest.mark.parametrize("contrast", [50, -400])
@pytest.mark.parametrize("sigma_mm", [0.4, 0.8])
def test_the_resolution_of_a_gaussian_blur_is_the_gaussians(sigma_mm: float, contrast: float) -> None:
    image, disc = blurred_disc(sigma_mm, contrast)
    found = task_transfer(image, disc, (0.5, 0.5))
    for share in (0.5, 0.1):
        expected = 10 * math.sqrt(math.log(1 / share) / 2) / (math.pi * sigma_mm)
        assert found.falls_to(share) == pytest.approx(expected, rel=0.02)


def test_noise_does_not_pass_for_resolution_when_many_slices_are_averaged() -> None:
    image, disc = blurred_disc(0.6, 200)
    noisy = image + np.random.default_rng(0).normal(0, 20, (16, *image.shape[1:]))
    expected = task_transfer(image, disc, (0.5, 0.5)).falls_to(0.5)
    assert task_transfer(noisy, disc, (0.5, 0.5)).falls_to(0.5) == pytest.approx(expected, rel=0.03)


def test_the_phantoms_edges_have_one_resolution_at_all_contrasts() -> None:
    phantom = make_phantom(1)
    found = [task_transfer(phantom.truth, disc, phantom.spacing).falls_to(0.5) for disc in EDGE_CYLINDERS]
    frequency = np.arange(0, 6, 0.001)  # per cm
    sigma_cm = POINT_SPREAD_MM / 10 / math.sqrt(8 * math.log(2))
    expected = np.exp(-2 * (np.pi * sigma_cm * frequency) ** 2) * np.sinc(frequency * phantom.spacing[0] / 10)
    np.testing.assert_allclose(found, frequency[np.argmax(expected < 0.5)], rtol=0.03)


def test_cnr_is_the_contrast_over_the_noise() -> None:
    phantom = make_phantom(1)
    many = Phantom(np.repeat(phantom.truth, 20, axis=0), phantom.spacing)
    noisy = many.truth + np.random.default_rng(0).normal(0, 5, many.truth.shape)
    for disc, contrast in zip(LOW_CONTRAST_DISCS, (5, 10, 15, 20, -20, -15, -10, -5), strict=True):
        found = contrast_to_noise(noisy, many, disc)
        assert found.contrast == pytest.approx(contrast, abs=1)
        assert found.noise == pytest.approx(5, rel=0.1)
        assert found.ratio == pytest.approx(abs(contrast) / 5, abs=0.3)


def test_half_an_hu_of_offset_in_one_tissue_is_found_there_and_only_there() -> None:
    phantom = make_phantom(2, 256)
    rng = np.random.default_rng(0)
    reference = phantom.truth + rng.normal(0, 10, phantom.truth.shape)
    masks = tissue_masks(reference)
    for tissue in ("air", "fat", "soft"):
        shifted = reference + 0.5 * ((phantom.truth > TISSUES[tissue][0]) & (phantom.truth < TISSUES[tissue][1]))
        found = tissue_bias(shifted, reference, masks)
        assert found[tissue] == pytest.approx(0.5, abs=0.05)
        assert all(abs(bias) < 0.05 for name, bias in found.items() if name != tissue and not math.isnan(bias))


def test_the_bias_is_not_faked_by_the_references_own_noise() -> None:
    phantom = make_phantom(2, 256)
    reference = phantom.truth + np.random.default_rng(0).normal(0, 15, phantom.truth.shape)
    found = tissue_bias(phantom.truth, reference, tissue_masks(reference))
    for tissue in ("fat", "soft"):
        assert found[tissue] == pytest.approx(0, abs=0.2)


def test_windows_say_their_data_range() -> None:
    assert [window.label for window in WINDOWS] == [
        "C50/W400 (data range 400 HU)",
        "C-600/W1500 (data range 1500 HU)",
        "[-160,240] (data range 400 HU)",
        "full range (data range 4095 HU)",
    ]
    assert (SOFT_TISSUE.low, SOFT_TISSUE.high) == (-160, 240)
    assert (FULL_RANGE.low, FULL_RANGE.high) == (-1024, 3071)


def test_vif_is_one_for_the_same_image_and_falls_with_noise() -> None:
    truth = make_phantom(1, 128).truth
    rng = np.random.default_rng(0)
    values = [vif(truth + rng.normal(0, sd, truth.shape), truth, ABDOMEN) for sd in (0, 5, 20)]
    assert values[0] == pytest.approx(1, abs=1e-3)
    assert values[0] > values[1] + 0.05 > values[2] + 0.1


def test_vif_sees_the_window_as_8_bit_grey_values() -> None:

    truth = make_phantom(1, 128).truth
    noisy = truth + np.random.default_rng(0).normal(0, 10, truth.shape)
    grey = [torch.tensor((np.clip(hu, -150, 250) + 150) / 400 * 255, dtype=torch.float32)[None] for hu in (noisy, truth)]
    assert vif(noisy, truth, ABDOMEN) == pytest.approx(float(visual_information_fidelity(*grey)), abs=1e-4)
