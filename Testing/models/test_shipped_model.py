"""The shipped model keeps the promises of every result: less noise, right HU, structures kept, no harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from LDCTDenoiseLib import Denoiser, load_model
from LDCTDenoiseLib.evaluation.baselines import find_baseline, tuned_method
from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.measures.image_quality import ABDOMEN, hu_bias, psnr_of_arrays, rmse, ssim, tissue_mask
from LDCTDenoiseLib.measures.noise_level import noise_sd, uniform_windows
from LDCTDenoiseLib.models.cascade import SYSTEMS
from LDCTDenoiseLib.simulation import simulate_low_dose
from LDCTDenoiseLib.simulation.phantom import EDGE_CYLINDERS, LIVER_HU, LOW_CONTRAST_DISCS, Phantom, make_phantom
from LDCTDenoiseLib.volumes.volume_file import read_volume

BODY_HU = (-150.0, 250.0)


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser(device="cpu")


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return make_phantom(2, 512)


@pytest.fixture(scope="module")
def low(phantom: Phantom) -> np.ndarray:
    return phantom.scan(0.25, seed=11)


@pytest.fixture(scope="module")
def denoised(denoiser: Denoiser, low: np.ndarray) -> np.ndarray:
    return denoiser(low)


def test_default_is_the_papers_cascade() -> None:
    assert load_model("default")[1].levels == SYSTEMS["C"]


def test_a_quarter_dose_phantom_gains_against_the_truth(phantom: Phantom, low: np.ndarray, denoised: np.ndarray) -> None:
    assert psnr_of_arrays(denoised, phantom.truth, ABDOMEN) > psnr_of_arrays(low, phantom.truth, ABDOMEN) + 4


def test_noise_in_uniform_tissue_is_halved_at_least(phantom: Phantom, low: np.ndarray, denoised: np.ndarray) -> None:
    windows = uniform_windows(phantom.truth, phantom.spacing)
    before, after = (noise_sd(volume, windows, phantom.spacing) for volume in (low, denoised))
    assert after < 0.5 * before


@pytest.mark.parametrize("tissue", [(-120.0, -80.0), (20.0, 80.0), (100.0, 250.0)])
def test_mean_hu_of_tissues_stays(phantom: Phantom, denoised: np.ndarray, tissue: tuple[float, float]) -> None:
    assert abs(hu_bias(denoised, phantom.truth, tissue_mask(phantom.truth, tissue))) < 3


def test_low_contrast_discs_survive(phantom: Phantom, low: np.ndarray, denoised: np.ndarray) -> None:
    """Most of their contrast is kept, and they stand out from the noise more than before."""
    windows = uniform_windows(phantom.truth, phantom.spacing)
    noise_before, noise_after = (noise_sd(volume, windows, phantom.spacing) for volume in (low, denoised))
    for disc in LOW_CONTRAST_DISCS[1:4]:  # 10, 15 and 20 HU
        inside = phantom.mask(disc, margin_mm=2)
        around = phantom.mask(disc, margin_mm=-6) & ~phantom.mask(disc, margin_mm=-2)
        before, after = (volume[inside].mean() - volume[around].mean() for volume in (low, denoised))
        assert after > 0.6 * (disc.hu - LIVER_HU), disc.hu
        assert after / noise_after > 1.5 * before / noise_before, disc.hu


def test_edges_keep_their_height(phantom: Phantom, denoised: np.ndarray) -> None:
    for cylinder in EDGE_CYLINDERS:
        inside = phantom.mask(cylinder, margin_mm=3)
        assert denoised[inside].mean() == pytest.approx(cylinder.hu, abs=max(6, 0.03 * cylinder.hu))


def assert_no_harm(denoiser: Denoiser, volume: np.ndarray, spacing: tuple[float, float]) -> None:
    """RMS change below the volume's own noise, and no shift of HU, in body tissue."""
    own_noise = noise_sd(volume, uniform_windows(volume, spacing), spacing)
    again = denoiser(volume)
    body = tissue_mask(volume, BODY_HU)
    change = again[body].astype(float) - volume[body]
    assert np.sqrt((change**2).mean()) < own_noise
    assert abs(change.mean()) < 1


def test_a_normal_dose_volume_is_not_harmed(denoiser: Denoiser, phantom: Phantom) -> None:
    assert_no_harm(denoiser, phantom.scan(1.0, seed=12), phantom.spacing)


def test_an_already_denoised_volume_is_not_harmed(denoiser: Denoiser, phantom: Phantom, denoised: np.ndarray) -> None:
    assert_no_harm(denoiser, denoised, phantom.spacing)


@pytest.fixture(scope="module")
def abdomen(shared: Path) -> tuple[np.ndarray, tuple[float, float]]:
    """Three slices of the validation patient."""
    path = shared / "data" / "train" / "abdomen_CRLM-CT-1004.nrrd"
    if not path.exists():
        pytest.skip(f"no validation volume at {path}")
    volume = read_volume(path)
    return volume.hu[10:34:8], volume.spacing


def test_a_real_normal_dose_volume_is_not_harmed(denoiser: Denoiser, abdomen: tuple[np.ndarray, tuple[float, float]]) -> None:
    assert_no_harm(denoiser, *abdomen)


@pytest.mark.parametrize(("dose", "kernel", "gain"), [(0.25, "soft", 3.9), (0.1, "sharp", 6.0)])
def test_a_real_abdomen_gains_and_keeps_its_hu(
    denoiser: Denoiser, abdomen: tuple[np.ndarray, tuple[float, float]], dose: float, kernel: str, gain: float
) -> None:
    full, spacing = abdomen
    low = simulate_low_dose(full, spacing, dose, kernel=kernel, seed=5)
    denoised = denoiser(low)
    gained = psnr_of_arrays(denoised, full, ABDOMEN) - psnr_of_arrays(low, full, ABDOMEN)
    assert gained > gain
    assert abs(hu_bias(denoised, full, tissue_mask(full, (-30.0, 150.0)))) < 0.5


@pytest.mark.parametrize(("name", "dose"), [pytest.param("nlm", 0.25, marks=pytest.mark.slow), ("curvature", 0.1)])
def test_a_real_abdomen_has_less_error_than_by_a_filter_tuned_on_it(
    denoiser: Denoiser, abdomen: tuple[np.ndarray, tuple[float, float]], name: str, dose: float
) -> None:
    """With the sharp kernel, whose noise is the easier one for filters."""
    full, spacing = abdomen
    low = simulate_low_dose(full, spacing, dose, kernel="sharp", seed=5)
    pair = DosePair("abdomen", "abdomen", low, full, spacing, tuple(range(len(full))))
    filtered = tuned_method(find_baseline(name), [pair]).apply(low, pair.noise_hu)
    denoised = denoiser(low)
    assert rmse(denoised, full) < rmse(filtered, full)
    assert ssim(denoised, full, ABDOMEN) > ssim(filtered, full, ABDOMEN)
