from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import iradon, radon

from LDCTDenoiseLib.errors import MissingExtraError
from LDCTDenoiseLib.simulation.parallel_beam import ParallelBeam

# Odd, so that scikit-image's centre (pixel size // 2) is ours (the middle), with an odd number of our detector bins (145), so
# that both have a bin on the rotation axis.
ODD_SIZE = 101
VIEWS = 120


def axes_mm(beam: ParallelBeam) -> tuple[np.ndarray, np.ndarray]:
    y = (np.arange(beam.rows) - (beam.rows - 1) / 2) * beam.spacing[0]
    x = (np.arange(beam.columns) - (beam.columns - 1) / 2) * beam.spacing[1]
    return y[:, None], x[None, :]


def disc(beam: ParallelBeam, centre: tuple[float, float], radius: float) -> np.ndarray:
    """A disc of value 1, its rim one pixel wide; centre (row, column) and radius in mm."""
    y, x = axes_mm(beam)
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.clip((radius - distance) / max(beam.spacing) + 0.5, 0, 1).astype(np.float32)


def blobs(beam: ParallelBeam) -> np.ndarray:
    """Smooth, and neither mirror- nor point-symmetric: no flip and no wrong angle goes unnoticed."""
    y, x = axes_mm(beam)
    image = np.zeros((beam.rows, beam.columns))
    for height, row, column, sigma in ((1.0, -18, 9, 6), (0.6, 12, 22, 4), (0.8, 5, -20, 8)):
        image += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
    # Scikit-image wants nothing outside the circle.
    return np.where(np.hypot(y, x) < 48, image, 0).astype(np.float32)


def scikit_degrees(beam: ParallelBeam) -> np.ndarray:
    """Scikit-image turns the other way round."""
    return -np.degrees(beam.angles())


@pytest.fixture(scope="module")
def odd_beam() -> ParallelBeam:
    return ParallelBeam(ODD_SIZE, ODD_SIZE, (1.0, 1.0), views=VIEWS)


def test_projection_agrees_with_skimage_radon(odd_beam: ParallelBeam) -> None:
    image = blobs(odd_beam)
    ours = odd_beam.project(image)
    theirs = radon(image, theta=scikit_degrees(odd_beam), circle=True).T
    margin = (odd_beam.bins - ODD_SIZE) // 2
    # Scikit-image interpolates linearly, which blurs the narrowest blob a little.
    np.testing.assert_allclose(ours[:, margin:-margin], theirs, atol=0.01 * theirs.max())
    assert np.abs(ours[:, :margin]).max() < 0.02 * theirs.max()


def test_projection_is_in_mm_whatever_the_pixel_size() -> None:
    for mm in (0.5, 2.0):
        beam = ParallelBeam(96, 96, (mm, mm), views=8)
        middle = beam.bins // 2
        # The diameter, 80 pixels, seen in the bins at the middle.
        longest = beam.project(disc(beam, (0, 0), 40 * mm))[:, middle - 2 : middle + 3].mean(axis=1)
        np.testing.assert_allclose(longest, 80 * mm, rtol=0.01)


def smooth_noise(views: int, bins: int) -> np.ndarray:
    """A sinogram of noise at frequencies at which interpolations hardly differ, and that ends without a jump."""
    noise = np.random.default_rng(1).standard_normal((views, bins))
    smooth = np.fft.irfft(np.fft.rfft(noise) * np.exp(-((np.fft.rfftfreq(bins) / 0.08) ** 4)), n=bins)
    return (smooth * np.hanning(bins)).astype(np.float32)


def test_reconstruction_agrees_with_skimage_iradon(odd_beam: ParallelBeam) -> None:
    sinogram = smooth_noise(VIEWS, odd_beam.bins)
    ours = odd_beam.reconstruct(sinogram)
    theirs = iradon(
        sinogram.astype(float).T,
        theta=scikit_degrees(odd_beam),
        filter_name="ramp",
        interpolation="cubic",
        circle=False,
        output_size=ODD_SIZE,
    )
    assert np.abs(ours - theirs).max() < 0.002 * np.abs(theirs).max()


def test_reconstructed_disc_has_its_value_inside_and_zero_outside() -> None:
    beam = ParallelBeam(128, 128, (1.0, 1.0), views=180)
    truth = disc(beam, (-6, 10), 36)
    image = beam.reconstruct(beam.project(truth))
    assert image[disc(beam, (-6, 10), 33) == 1].mean() == pytest.approx(1, abs=0.005)
    near = (disc(beam, (-6, 10), 50) == 1) & (disc(beam, (-6, 10), 39) == 0)
    assert image[near].mean() == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize(("rows", "columns", "spacing"), [(80, 128, (1.5, 1.0)), (128, 75, (0.8, 1.6)), (97, 64, (1.0, 1.0))])
def test_other_matrices_and_pixels_reconstruct_to_the_same_image(rows: int, columns: int, spacing: tuple[float, float]) -> None:
    beam = ParallelBeam(rows, columns, spacing, views=180)
    centre, radius = (11.0, -7.0), 20.0
    truth = disc(beam, centre, radius)
    image = beam.reconstruct(beam.project(truth))
    assert image[disc(beam, centre, radius - 4) == 1].mean() == pytest.approx(1, abs=0.01)
    # Of its place and its width along each axis nothing may move by a tenth of a pixel.
    near = np.where(disc(beam, centre, radius + 5) > 0, image.astype(float), 0)
    true = truth.astype(float)
    for axis in axes_mm(beam):
        place, true_place = (np.sum(axis * weight) / weight.sum() for weight in (near, true))
        assert place == pytest.approx(true_place, abs=0.1)
        spread, true_spread = (
            math.sqrt(np.sum((axis - middle) ** 2 * weight) / weight.sum())
            for weight, middle in ((near, place), (true, true_place))
        )
        assert spread == pytest.approx(true_spread, rel=0.02)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(40, 72), st.integers(40, 72)),
    spacing=st.tuples(st.floats(0.6, 1.8), st.floats(0.6, 1.8)),
    where=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
)
def test_every_view_sees_the_whole_object_at_its_place(
    shape: tuple[int, int], spacing: tuple[float, float], where: tuple[float, float]
) -> None:
    beam = ParallelBeam(*shape, spacing, views=16)
    y, x = axes_mm(beam)
    # A Gaussian is small enough for the field and wide enough for the pixels.
    row, column = (share * n * mm / 4 for share, n, mm in zip(where, shape, spacing, strict=True))
    sigma = 2.0 * max(spacing)
    image = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
    views = beam.project(image)
    detector = (np.arange(beam.bins) - (beam.bins - 1) / 2) * beam.bin_mm
    mass = image.sum() * spacing[0] * spacing[1]
    np.testing.assert_allclose(views.sum(axis=1) * beam.bin_mm, mass, rtol=0.001)
    centre = views @ detector / views.sum(axis=1)
    expected = [column * math.cos(angle) + row * math.sin(angle) for angle in beam.angles()]
    np.testing.assert_allclose(centre, expected, atol=0.05 * min(spacing))


def test_the_detector_sees_the_corners_of_the_matrix() -> None:
    beam = ParallelBeam(33, 65, (1.0, 1.0), views=36)
    corners = np.zeros((33, 65), np.float32)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = 1
    seen = beam.project(corners).sum(axis=1) * beam.bin_mm
    np.testing.assert_allclose(seen, 4.0, rtol=0.01)


def test_the_filter_is_the_band_limited_ramp_and_does_not_wrap_round() -> None:
    beam = ParallelBeam(1, 89, (2.0, 2.0), views=1)  # one view along the row: back-projection gives the filtered bins
    assert beam.bins == 93
    offset = (beam.bins - 89) // 2
    impulse = np.zeros((1, beam.bins), np.float32)
    impulse[0, -1 - offset] = 1
    distance = np.arange(88, -1, -1)
    expected = np.where(distance % 2 == 1, -1 / (np.pi * np.maximum(distance, 1)) ** 2, 0)  # Kak and Slaney, eq. 3.61
    expected[-1] = 0.25
    np.testing.assert_allclose(beam.reconstruct(impulse)[0] / math.pi, expected / beam.bin_mm, atol=1e-4)


def test_pixels_hold_no_more_than_their_own_frequencies() -> None:
    beam = ParallelBeam(64, 128, (2.0, 1.0), views=90)
    noise = np.random.default_rng(3).standard_normal((90, beam.bins)).astype(np.float32)
    image = beam.reconstruct(noise)
    # With rows of 2 mm, what lies beyond 0.25 per mm along them would come back folded.
    power = np.abs(np.fft.fft2(image)) ** 2
    rows, columns = np.abs(np.fft.fftfreq(64, 2.0))[:, None], np.abs(np.fft.fftfreq(128, 1.0))[None, :]
    low = power[(rows > 0.05) & (rows < 0.1) & (columns < 0.02)].mean()
    assert low < 0.5 * power[(rows > 0.18) & (rows < 0.23) & (columns < 0.02)].mean()


def test_one_beam_serves_several_threads() -> None:
    beam = ParallelBeam(48, 48, (1.0, 1.0), views=60)
    images = [disc(beam, (row, -10), 8) for row in range(-10, 10)]
    alone = [beam.reconstruct(beam.project(image)) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: beam.reconstruct(beam.project(image)), images))
    np.testing.assert_array_equal(together, alone)


def test_a_missing_finufft_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "finufft", None)
    beam = ParallelBeam(8, 8, (1.0, 1.0), views=4)
    with pytest.raises(MissingExtraError, match=r"needs the package finufft.*pip install finufft"):
        beam.project(np.zeros((8, 8), np.float32))
