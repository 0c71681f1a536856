"""The lesion test against denoisers whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.measures.lesion_test import LesionAnswer, map_lesions, try_lesion
from LDCTDenoiseLib.measures.signal_kept import Lesion
from LDCTDenoiseLib.simulation.own_noise import SHARE_OF_NOISE, own_noise

SPACING = (0.7, 0.7)
LESION = Lesion(-20, 4)
PLACE = (1, 130, 120)
RADIUS_PX = 6


@pytest.fixture
def scan() -> np.ndarray:
    """A body of soft tissue in air with noise of a soft kernel, int16."""
    rows, columns = np.mgrid[:256, :256] - 128
    body = np.where(np.hypot(rows, columns) < 110, 50.0, -1000.0)
    noise = gaussian_filter(np.random.default_rng(1).normal(0, 60, (3, 256, 256)), (0, 1, 1))
    return (body + noise).round().astype(np.int16)


def blur(hu: np.ndarray) -> np.ndarray:
    return gaussian_filter(hu, (0, 1.5, 1.5), radius=(0, RADIUS_PX, RADIUS_PX))


def answer(scan: np.ndarray, denoise: Callable[[np.ndarray], np.ndarray], **how: Any) -> LesionAnswer:
    return try_lesion(denoise, scan, PLACE, LESION, SPACING, **how)


def test_the_identity_keeps_the_lesion_and_the_noise(scan: np.ndarray) -> None:
    found = answer(scan, lambda hu: hu)
    assert found.signal_kept == pytest.approx(1, abs=1e-4)
    assert found.noise_before == found.noise_after == pytest.approx(60 / (2 * np.pi**0.5), rel=0.2)  # of white noise so blurred
    assert found.cnr_before == pytest.approx(20 / found.noise_before)
    assert found.cnr_after == pytest.approx(found.cnr_before, rel=1e-3)


def test_a_constant_wipes_the_lesion_out(scan: np.ndarray) -> None:
    found = answer(scan, lambda hu: np.full_like(hu, 50))
    assert (found.signal_kept, found.noise_after) == (pytest.approx(0), pytest.approx(0, abs=1e-6))
    assert np.isnan(found.cnr_after)
    assert not found.difference.any()


def test_a_blend_keeps_its_share_of_both(scan: np.ndarray) -> None:
    found = answer(scan, lambda hu: 0.4 * hu)
    assert found.signal_kept == pytest.approx(0.4, abs=1e-4)
    assert found.noise_after == pytest.approx(0.4 * found.noise_before, rel=1e-3)
    assert found.cnr_after == pytest.approx(found.cnr_before, rel=1e-3)


def test_the_part_that_is_computed_gives_what_the_whole_slice_gives(scan: np.ndarray) -> None:
    sizes = []

    def seen(hu: np.ndarray) -> np.ndarray:
        sizes.append(hu.shape)
        return blur(hu)

    whole, part = answer(scan, seen), answer(scan, seen, halo_px=RADIUS_PX)
    assert sizes[0] == (1, 256, 256)
    assert max(sizes[-1]) < 128
    assert part.figures == pytest.approx(whole.figures, rel=1e-5)
    for name in ("input_with_lesion", "result_with_lesion", "difference"):
        np.testing.assert_allclose(getattr(part, name), getattr(whole, name), atol=1e-3)


def test_the_pictures_show_the_lesion_where_it_is(scan: np.ndarray) -> None:
    before = scan.copy()
    found = answer(scan, blur)
    np.testing.assert_array_equal(scan, before)
    row, column = (at - first for at, first in zip(PLACE[1:], found.corner, strict=True))
    assert found.input_with_lesion[row, column] == pytest.approx(scan[PLACE] - 20, abs=0.1)
    assert np.unravel_index(found.difference.argmin(), found.difference.shape) == (row, column)
    assert found.difference.min() == pytest.approx(-20, abs=2)
    away = found.input_with_lesion[:8]
    np.testing.assert_array_equal(away, scan[1][found.corner[0] :, found.corner[1] :][:8, : away.shape[1]])


def test_a_lesion_at_the_bodys_edge_has_smaller_pictures() -> None:
    flat = np.full((1, 60, 60), 40, np.int16)
    found = try_lesion(lambda hu: hu, flat, (0, 10, 50), LESION, SPACING)
    assert found.corner == (0, 21)
    assert found.input_with_lesion.shape == (40, 39)
    assert found.signal_kept == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ((0, 5, 5), "air"),
        ((3, 130, 120), "3 slices of 256 x 256"),
        ((0, -1, 120), "no voxel"),
    ],
)
def test_places_where_no_lesion_can_be_are_refused(scan: np.ndarray, place: tuple[int, int, int], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        try_lesion(lambda hu: hu, scan, place, LESION, SPACING)


def test_a_lesion_that_crosses_the_border_is_refused() -> None:
    with pytest.raises(InputError, match="border"):
        try_lesion(lambda hu: hu, np.full((1, 60, 60), 40, np.int16), (0, 3, 30), LESION, SPACING)


def test_a_map_tells_where_a_denoiser_works(scan: np.ndarray) -> None:
    def left_half(hu: np.ndarray) -> np.ndarray:
        result = hu.copy()
        result[..., :128] *= 0.25
        return result

    calls: list[tuple[int, int]] = []
    noise = own_noise(scan, 1, SPACING)
    found = map_lesions(left_half, scan[1], LESION, SPACING, noise=noise, progress=lambda *done: calls.append(done))
    assert 48 <= len(found.places) <= 80
    assert calls == [(n + 1, len(calls)) for n in range(len(calls))]
    for image in (found.image(found.signal_kept), found.image(found.noise_left)):
        assert image.shape == (256, 256)
        assert np.isnan(image[0, 0])
        assert image[128, 60] == pytest.approx(0.25, abs=1e-3)
        assert image[128, 200] == pytest.approx(1, abs=1e-3)


def test_a_map_without_noise_has_no_noise_left_and_one_pass_less(scan: np.ndarray) -> None:
    calls: list[int] = []
    found = map_lesions(blur, scan[1], LESION, SPACING, places=16, progress=lambda done, total: calls.append(total))
    assert found.noise_left is None
    assert set(calls) == {len(calls)}
    single = [try_lesion(blur, scan, (1, *place), LESION, SPACING).signal_kept for place in found.places]
    assert found.signal_kept == pytest.approx(single, abs=1e-3)


def test_a_slice_of_air_has_no_map() -> None:
    with pytest.raises(InputError, match="no tissue"):
        map_lesions(lambda hu: hu, np.full((64, 64), -1000), LESION, SPACING)


@pytest.mark.parametrize("seed", [1, 2])
def test_own_noise_has_the_strength_and_the_texture_of_the_scans(seed: int) -> None:
    """The scan's noise is shaped as filtered back-projection shapes it: a ramp under a soft kernel, without zero frequency."""
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None, :])
    power = frequency * np.exp(-((2 * np.pi * frequency) ** 2))
    white = np.fft.fft2(np.random.default_rng(seed).normal(size=(3, 256, 256)))
    own = np.fft.ifft2(white * np.sqrt(power)).real
    own *= 17 / own.std()
    correlation = np.fft.ifft2(power).real
    rows, columns = np.mgrid[:256, :256] - 128
    scan = (np.where(np.hypot(rows, columns) < 110, 50.0, -1000.0) + own).round().astype(np.int16)

    noise = own_noise(scan, 1, SPACING, share=1.0)
    assert noise.std() == pytest.approx(17, rel=0.1)  # the trend of small windows takes some of it
    # Correlation of neighbours is what texture is. Windows of 20 mm leak a little power upwards, which lowers it by 0.05 at most.
    for step in (1, 2, 3, 4):
        found = np.mean(noise[:, step:] * noise[:, :-step]) / np.mean(noise**2)
        assert found == pytest.approx(correlation[0, step] / correlation[0, 0], abs=0.06)
    np.testing.assert_array_equal(noise, own_noise(scan, 1, SPACING, share=1.0))
    np.testing.assert_array_equal(noise, own_noise(scan, 1, (SPACING[0] * (1 + 1e-12), SPACING[1]), share=1.0))
    assert own_noise(scan, 1, SPACING).std() == pytest.approx(SHARE_OF_NOISE * noise.std(), rel=1e-4)


def test_own_noise_needs_soft_tissue() -> None:
    with pytest.raises(InputError, match="uniform soft tissue"):
        own_noise(np.full((1, 128, 128), -800), 0, SPACING)


@pytest.mark.parametrize("around", [0, -1000])
def test_a_scan_without_noise_has_no_noise_of_its_own(around: int) -> None:
    scan = np.full((1, 256, 256), around, np.int16)
    scan[:, 40:-40, 40:-40] = 50
    with pytest.raises(InputError, match="no noise of its own"):
        own_noise(scan, 0, SPACING)


def test_own_noise_is_that_of_the_body_and_not_of_0_hu_around_it(scan: np.ndarray) -> None:
    in_air = own_noise(scan, 1, SPACING)
    assert own_noise(np.where(scan < -500, 0, scan), 1, SPACING).std() == pytest.approx(in_air.std(), rel=0.05)
