"""Signal kept does what its definition says, and discs are what they are called."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import j1

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.measures.signal_kept import LESIONS, Lesion, signal_kept, spread_places

SPACING = (0.5, 0.6)


@pytest.fixture
def scan() -> np.ndarray:
    return np.random.default_rng(1).normal(50, 20, (2, 200, 200)).astype(np.float32)


PLACES = [(0, 60, 60), (0, 60, 140), (0, 130, 100), (1, 100, 100), (0, 70, 70)]


def kept_by_blur(lesion: Lesion, blur_mm: float) -> float:
    """What a Gaussian blur keeps of a blurred disc, by Parseval's theorem from their transfer functions."""
    frequency = np.linspace(1e-6, 4 / lesion.blur_mm, 200_000)  # /mm
    disc = j1(2 * np.pi * lesion.radius_mm * frequency) / frequency

    def gaussian(sd: float) -> np.ndarray:
        return np.exp(-2 * (np.pi * sd * frequency) ** 2)

    power = (disc * gaussian(lesion.blur_mm)) ** 2 * frequency
    return float(np.sum(power * gaussian(blur_mm)) / np.sum(power))


@pytest.mark.parametrize("lesion", LESIONS, ids=lambda lesion: lesion.label)
@pytest.mark.parametrize("blur_mm", [0.4, 1.0, 2.0])
def test_a_gaussian_blur_keeps_what_its_transfer_function_says(scan: np.ndarray, lesion: Lesion, blur_mm: float) -> None:
    def blurred(hu: np.ndarray) -> np.ndarray:
        return gaussian_filter(hu, (0, blur_mm / SPACING[0], blur_mm / SPACING[1]), truncate=6)

    kept = signal_kept(blurred, scan, PLACES, lesion, SPACING)
    assert kept == pytest.approx(kept_by_blur(lesion, blur_mm), abs=0.012)


@pytest.mark.parametrize("lesion", LESIONS, ids=lambda lesion: lesion.label)
def test_the_identity_keeps_everything_and_a_constant_nothing(scan: np.ndarray, lesion: Lesion) -> None:
    assert signal_kept(lambda hu: hu, scan, PLACES, lesion, SPACING) == pytest.approx(1, abs=1e-3)
    assert signal_kept(lambda hu: np.full_like(hu, 40), scan, PLACES, lesion, SPACING) == pytest.approx(0)


def test_a_blend_lies_on_the_line_between_input_and_output(scan: np.ndarray) -> None:
    kept = signal_kept(lambda hu: 0.3 * hu + 0.7 * gaussian_filter(hu, (0, 2, 2)), scan, PLACES, LESIONS[1], SPACING)
    full = signal_kept(lambda hu: gaussian_filter(hu, (0, 2, 2)), scan, PLACES, LESIONS[1], SPACING)
    assert kept == pytest.approx(0.3 + 0.7 * full, abs=1e-3)


def test_lesions_that_are_near_each_other_go_into_passes_of_their_own(scan: np.ndarray) -> None:
    passes: list[np.ndarray] = []

    def count(hu: np.ndarray) -> np.ndarray:
        passes.append(hu)
        return hu

    signal_kept(count, scan, PLACES, Lesion(10, 2), SPACING)
    # Slice 0: as it is, three discs that are far apart, and the one that is near the first. Slice 1: as it is, one disc.
    assert len(passes) == 5


def test_a_given_output_saves_a_pass_and_both_signs_can_be_one(scan: np.ndarray) -> None:
    seen: list[np.ndarray] = []

    def remember(hu: np.ndarray) -> np.ndarray:
        seen.append(hu[0] - scan[0])
        return hu

    signal_kept(remember, scan, PLACES[:3], Lesion(-30, 3), SPACING, output=scan, both_signs=False)
    assert len(seen) == 1
    assert seen[0].max() < 1
    assert seen[0].min() == pytest.approx(-30, abs=0.1)


@pytest.mark.parametrize("lesion", LESIONS, ids=lambda lesion: lesion.label)
def test_a_lesion_has_its_contrast_size_and_blur(lesion: Lesion) -> None:
    image = lesion.image((0.25, 0.3))
    area = np.pi * lesion.radius_mm**2 / (0.25 * 0.3)
    assert image.sum() == pytest.approx(lesion.contrast_hu * area, rel=0.01)  # 3 SD of the blur are shown
    middle = tuple(side // 2 for side in image.shape)
    # A Gaussian-blurred disc in its middle, averaged over a small pixel.
    peak = 1 - np.exp(-((lesion.radius_mm / lesion.blur_mm) ** 2) / 2)
    assert image[middle] == pytest.approx(lesion.contrast_hu * peak, rel=0.02)
    assert image == pytest.approx(image[::-1, ::-1], abs=1e-4)
    # At the disc's edge it has fallen to about half.
    edge = image[middle[0], middle[1] + round(lesion.radius_mm / 0.3)]
    assert 0.3 * lesion.contrast_hu < edge < 0.65 * lesion.contrast_hu


def test_places_are_spread_over_the_mask_away_from_the_border() -> None:
    mask = np.zeros((200, 200), bool)
    mask[40:160, 20:180] = True
    places = spread_places(mask, 30)
    assert len(places) >= 24
    assert all(mask[place] and min(place) >= 30 and max(place) < 170 for place in places)
    distances = [np.hypot(a[0] - b[0], a[1] - b[1]) for n, a in enumerate(places) for b in places[:n]]
    assert min(distances) >= 16
    assert spread_places(np.zeros((50, 50), bool), 5) == []


@pytest.mark.parametrize("arguments", [(0, 4), (20, 0), (20, -1), (20, 4, 0), (float("nan"), 4), (20, float("inf"))])
def test_impossible_lesions_are_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(InputError):
        Lesion(*arguments)


def test_a_lesion_that_crosses_the_border_is_refused(scan: np.ndarray) -> None:
    with pytest.raises(InputError, match="border"):
        signal_kept(lambda hu: hu, scan, [(0, 3, 100)], LESIONS[0], SPACING)
    with pytest.raises(InputError, match="no place"):
        signal_kept(lambda hu: hu, scan, [], LESIONS[0], SPACING)
