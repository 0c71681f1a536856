from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import iradon, radon

from LDCTDenoiseLib.simulation.parallel_beam import Kernel, ParallelBeam

# Odd, so that scikit-image's centre (pixel size // 2) is ours (the middle), with an odd number of our detector bins (145), so
# that both have a bin on the rotation axis.
ODD_SIZE = 101
VIEWS = 120


def axes_mm(beam: ParallelBeam) -> tuple[np.ndarray, np.ndarray]:
    y = (np.arange(beam.rows) - (beam.rows - 1) / 2) * beam.spacing[0]
    x = (np.arange(beam.columns) - (beam.columns - 1) / 2) * beam.spacing[1]
    return y[:, None], x[None, :]


def disc(beam: ParallelBeam, centre: tuple[float, float], radius: float) -> torch.Tensor:
    """One slice with a disc of value 1, its rim one pixel wide; centre (row, column) and radius in mm."""
    y, x = axes_mm(beam)
    distance = np.hypot(y - centre[0], x - centre[1])
    return torch.from_numpy(np.clip((radius - distance) / max(beam.spacing) + 0.5, 0, 1)).float()[None]


def blobs(beam: ParallelBeam) -> torch.Tensor:
    """Smooth, and neither mirror- nor point-symmetric: no flip and no wrong angle goes unnoticed."""
    y, x = axes_mm(beam)
    image = np.zeros((beam.rows, beam.columns))
    for height, row, column, sigma in ((1.0, -18, 9, 6), (0.6, 12, 22, 4), (0.8, 5, -20, 8)):
        image += height * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2))
    # Scikit-image wants nothing outside the circle.
    return torch.from_numpy(np.where(np.hypot(y, x) < 48, image, 0)).float()[None]


def scikit_degrees(beam: ParallelBeam) -> np.ndarray:
    """Scikit-image turns the other way round."""
    return -np.degrees(beam.angles())


def radial_power(image: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean spectral power of an image in rings between frequencies, cycles per pixel."""
    power = np.abs(np.fft.fft2(image)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(image.shape[0]), np.fft.fftfreq(image.shape[1]), indexing="ij"))
    ring = np.digitize(frequency, edges)
    return np.array([power[ring == index].mean() for index in range(1, len(edges))])


@pytest.fixture(scope="module")
def odd_beam() -> ParallelBeam:
    return ParallelBeam(ODD_SIZE, ODD_SIZE, (1.0, 1.0), views=VIEWS)


def test_projection_agrees_with_skimage_radon(odd_beam: ParallelBeam) -> None:
    image = blobs(odd_beam)
    ours = odd_beam.project(image)[0].numpy()
    theirs = radon(image[0].numpy(), theta=scikit_degrees(odd_beam), circle=True).T
    margin = (odd_beam.bins - ODD_SIZE) // 2
    # Both interpolate bilinearly at the same points: only rounding remains.
    np.testing.assert_allclose(ours[:, margin:-margin], theirs, atol=2e-4 * theirs.max())
    assert np.abs(ours[:, :margin]).max() < 0.02 * theirs.max()


def test_projection_is_in_mm_whatever_the_pixel_size() -> None:
    for mm in (0.5, 2.0):
        beam = ParallelBeam(96, 96, (mm, mm), views=8)
        longest = beam.project(disc(beam, (0, 0), 40 * mm)).amax(dim=2)[0]
        # The diameter, 80 pixels; interpolation blurs the rim alone, not the path through the middle.
        torch.testing.assert_close(longest, torch.full((8,), 80 * mm), rtol=0.01, atol=0)


# Filled with noise, which smooth objects do not give: every frequency and every bin counts.
@pytest.mark.parametrize(
    ("kernel", "scikit_filter", "tolerance"),
    # Scikit-image's Hann window is np.hanning: it reaches zero half a sample earlier than ours.
    [(Kernel.SHARP, "ramp", 1e-4), (Kernel.SOFT, "hann", 0.01)],
)
def test_reconstruction_agrees_with_skimage_iradon(
    odd_beam: ParallelBeam, kernel: Kernel, scikit_filter: str, tolerance: float
) -> None:
    sinogram = torch.randn(1, VIEWS, odd_beam.bins, generator=torch.Generator().manual_seed(1))
    ours = odd_beam.reconstruct(sinogram, kernel)[0].numpy()
    theirs = iradon(
        sinogram[0].double().numpy().T,
        theta=scikit_degrees(odd_beam),
        filter_name=scikit_filter,
        circle=False,
        output_size=ODD_SIZE,
    )
    assert np.abs(ours - theirs).max() < tolerance * np.abs(theirs).max()


@pytest.mark.parametrize("kernel", Kernel)
def test_reconstructed_disc_has_its_value_inside_and_zero_outside(kernel: Kernel) -> None:
    beam = ParallelBeam(128, 128, (1.0, 1.0), views=180)
    truth = disc(beam, (-6, 10), 36)
    image = beam.reconstruct(beam.project(truth), kernel)[0]
    assert image[disc(beam, (-6, 10), 33)[0] == 1].mean() == pytest.approx(1, abs=0.01)
    near = (disc(beam, (-6, 10), 50)[0] == 1) & (disc(beam, (-6, 10), 39)[0] == 0)
    assert image[near].mean() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize(("rows", "columns", "spacing"), [(80, 128, (1.5, 1.0)), (128, 75, (0.8, 1.6)), (97, 64, (1.0, 1.0))])
def test_other_matrices_and_pixels_reconstruct_to_the_same_image(
    rows: int, columns: int, spacing: tuple[float, float], kernel: Kernel
) -> None:
    beam = ParallelBeam(rows, columns, spacing, views=180)
    centre, radius = (11.0, -7.0), 20.0
    truth = disc(beam, centre, radius)
    image = beam.reconstruct(beam.project(truth), kernel)[0]
    assert image[disc(beam, centre, radius - 4)[0] == 1].mean() == pytest.approx(1, abs=0.01)
    # Of its place and its width along each axis nothing may move by a tenth of a pixel.
    near = np.where(disc(beam, centre, radius + 5)[0] > 0, image.double(), 0)
    true = truth[0].double().numpy()
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
    views = beam.project(torch.from_numpy(image).float()[None])[0].numpy()
    detector = (np.arange(beam.bins) - (beam.bins - 1) / 2) * beam.bin_mm
    mass = image.sum() * spacing[0] * spacing[1]
    # Bilinear sampling of unequal pixels beats with their grid: up to half a percent at 45 degrees.
    np.testing.assert_allclose(views.sum(axis=1) * beam.bin_mm, mass, rtol=0.01)
    centre = views @ detector / views.sum(axis=1)
    expected = [column * math.cos(angle) + row * math.sin(angle) for angle in beam.angles()]
    np.testing.assert_allclose(centre, expected, atol=0.05 * min(spacing))


def test_the_detector_sees_the_corners_of_the_matrix() -> None:
    beam = ParallelBeam(33, 65, (1.0, 1.0), views=36)
    corners = torch.zeros(1, 33, 65)
    corners[:, [0, 0, -1, -1], [0, -1, 0, -1]] = 1
    seen = beam.project(corners).sum(dim=2)[0] * beam.bin_mm
    # Sampling a single pixel every 1 mm is off by a few percent; a corner cut off would cost a quarter.
    torch.testing.assert_close(seen, torch.full((36,), 4.0), rtol=0.2, atol=0)


def test_the_sharp_filter_is_the_band_limited_ramp_and_does_not_wrap_round() -> None:
    beam = ParallelBeam(89, 89, (2.0, 2.0), views=1)
    assert beam.bins == 128  # a power of two: an FFT of that size would wrap from the last bin to the first
    impulse = torch.zeros(1, 1, 128)
    impulse[..., -1] = 1
    distance = np.arange(127, -1, -1)
    expected = np.where(distance % 2 == 1, -1 / (np.pi * np.maximum(distance, 1)) ** 2, 0)  # Kak and Slaney, eq. 3.61
    expected[-1] = 0.25
    np.testing.assert_allclose(beam.filter(impulse, Kernel.SHARP)[0, 0].numpy(), expected / beam.bin_mm, atol=1e-6)


def test_soft_kernel_is_the_sharp_one_times_a_hann_window() -> None:
    beam = ParallelBeam(128, 128, (1.0, 1.0), views=360)
    noise = torch.randn(4, 360, beam.bins, generator=torch.Generator().manual_seed(2))
    edges = np.array([0.04, 0.08, 0.23, 0.27, 0.37, 0.41])
    soft, sharp = (
        np.mean([radial_power(one.numpy(), edges) for one in beam.reconstruct(noise, kernel)], axis=0)
        for kernel in (Kernel.SOFT, Kernel.SHARP)
    )
    # Rings 0, 2 and 4 lie at 0.06, 0.25 and 0.39 cycles per pixel.
    for ring, frequency in ((0, 0.06), (2, 0.25), (4, 0.39)):
        hann = 0.5 + 0.5 * math.cos(2 * math.pi * frequency)
        assert soft[ring] / sharp[ring] == pytest.approx(hann**2, rel=0.1, abs=0.005)


def test_slices_of_a_batch_do_not_mix() -> None:
    beam = ParallelBeam(48, 48, (1.0, 1.0), views=20)
    slices = torch.cat([disc(beam, (0, -10), 8), torch.zeros(1, 48, 48), disc(beam, (6, 3), 12)])
    together = beam.reconstruct(beam.project(slices), Kernel.SOFT)
    alone = torch.cat([beam.reconstruct(beam.project(one[None]), Kernel.SOFT) for one in slices])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    assert torch.count_nonzero(together[1]) == 0


@pytest.mark.cuda
def test_cuda_reconstructs_as_the_cpu_does() -> None:
    beam = ParallelBeam(80, 128, (1.5, 1.0), views=180)
    image = disc(beam, (11, -7), 20)
    on_cpu = beam.reconstruct(beam.project(image), Kernel.SHARP)
    on_cuda = beam.reconstruct(beam.project(image.cuda()), Kernel.SHARP)
    torch.testing.assert_close(on_cuda.cpu(), on_cpu, rtol=0, atol=1e-3)
