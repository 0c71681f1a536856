"""Reconstruction kernels: the texture of generated noise, measured."""

from __future__ import annotations

import numpy as np
import pytest

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.measures.nps import noise_power
from LDCTDenoiseLib.simulation.kernel import KERNELS, Kernel, find_kernel, measure_kernel, random_kernel
from LDCTDenoiseLib.simulation.noise_insertion import ray_noise
from LDCTDenoiseLib.simulation.parallel_beam import ParallelBeam

SIZE, SIDE, SLICES = 256, 64, 10


class GeneratedNoise:
    """Bare-ramp noise of water discs at one pixel size, and its NPS after a kernel."""

    def __init__(self, mm: float) -> None:
        self.spacing = (mm, mm)
        beam = ParallelBeam(SIZE, SIZE, self.spacing)
        middle = (np.arange(SIZE) - (SIZE - 1) / 2) * mm
        disc = np.where(np.hypot(middle[:, None], middle) < 0.45 * SIZE * mm, 0.0, -1000.0)
        self.rays = np.stack([ray_noise(disc, beam, seed=1, index=z)[0] for z in range(SLICES)])
        corners = range(SIZE // 2 - SIDE, SIZE // 2 + SIDE, SIDE // 2)
        self.windows = np.array([(z, y, x) for z in range(SLICES) for y in corners[:3] for x in corners[:3]])

    def radial_nps(self, kernel: Kernel) -> tuple[np.ndarray, np.ndarray]:
        """(frequencies per mm, power), up to the Nyquist frequency."""
        noise = kernel.shape(self.rays, self.spacing)
        frequency_per_cm, power = noise_power(noise, self.windows, (SIDE, SIDE), self.spacing).radial
        return frequency_per_cm / 10, power


def mean_frequency(frequency: np.ndarray, power: np.ndarray) -> float:
    """Of the two-dimensional spectrum, whose rings grow with the frequency."""
    return float(np.sum(frequency**2 * power) / np.sum(frequency * power))


def smoothed(power: np.ndarray) -> np.ndarray:
    """Means of three rings: the few windows leave several percent of chance in each."""
    return np.convolve(np.pad(power, 1, mode="edge"), [1 / 3] * 3, mode="valid")


@pytest.fixture(scope="module")
def generated() -> dict[float, GeneratedNoise]:
    return {mm: GeneratedNoise(mm) for mm in (0.5, 0.7, 0.9)}


@pytest.mark.parametrize("mm", [0.5, 0.7, 0.9])
def test_the_soft_kernel_has_the_noise_of_b30f(generated: dict[float, GeneratedNoise], mm: float) -> None:
    frequency, power = generated[mm].radial_nps(KERNELS["soft"])
    power = smoothed(power) / smoothed(power).max()
    assert frequency[np.argmax(power)] == pytest.approx(0.25, abs=0.05)
    assert mean_frequency(frequency, power) == pytest.approx(0.33, abs=0.02)
    # At 0.9 mm the curve ends at 0.55 per mm, so that the last ring has one neighbour only.
    assert np.interp(0.54, frequency, power) == pytest.approx(0.14, abs=0.04)


def test_the_sharp_kernel_has_the_noise_of_d45f(generated: dict[float, GeneratedNoise]) -> None:
    frequency, power = generated[0.5].radial_nps(KERNELS["sharp"])
    power = smoothed(power) / smoothed(power).max()
    assert frequency[np.argmax(power)] == pytest.approx(0.55, abs=0.07)
    assert 0.5 <= np.interp(0.75, frequency, power) <= 0.8
    assert 0.14 <= np.interp(0.05, frequency, power) <= 0.26
    # The scans had pixels that end at 0.75 per mm.
    seen = frequency <= 0.76
    assert 0.50 <= mean_frequency(frequency[seen], power[seen]) <= 0.56


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_gives_the_same_texture_whatever_the_pixel_size(generated: dict[float, GeneratedNoise], name: str) -> None:
    places = np.linspace(0.05, 0.5, 10)
    curves = []
    for one in generated.values():
        frequency, power = one.radial_nps(KERNELS[name])
        curve = np.interp(places, frequency, smoothed(power))
        curves.append(curve / curve.mean())
    for other in curves[1:]:
        np.testing.assert_allclose(other, curves[0], atol=0.15)


def test_random_kernels_span_very_soft_to_bone(generated: dict[float, GeneratedNoise]) -> None:
    rng = np.random.default_rng(0)
    means = [mean_frequency(*generated[0.5].radial_nps(random_kernel(rng))) for _ in range(40)]
    assert min(means) < 0.2
    assert max(means) > 0.6
    # Not only at the ends: every tenth between has its kernels.
    counts, _ = np.histogram(means, np.arange(0.2, 0.61, 0.1))
    assert (counts >= 3).all()


def test_a_kernel_shapes_noise_by_its_window() -> None:
    kernel = Kernel(0.5, 3.0, enhancement=1.0, enhancement_per_mm=0.4, floor_per_mm=0.05)
    noise = np.random.default_rng(2).standard_normal((2, 40, 51)).astype(np.float32)
    spacing = (0.6, 0.8)
    shaped = kernel.shape(noise, spacing)
    assert shaped.dtype == np.float32
    assert shaped.shape == noise.shape
    frequency = np.hypot(np.fft.fftfreq(40, 0.6)[:, None], np.fft.fftfreq(51, 0.8))
    np.testing.assert_allclose(np.fft.fft2(shaped), np.fft.fft2(noise) * kernel.window(frequency), atol=1e-3)


def test_the_window_has_the_parts_it_is_described_with() -> None:
    frequency = np.array([0.0, 0.1, 0.4, 0.5, 1.0])
    plain = Kernel(0.5, 3.0).window(frequency)
    assert plain[0] == 1
    assert plain[3] == pytest.approx(np.exp(-1))
    raised = Kernel(0.5, 3.0, enhancement=0.8, enhancement_per_mm=0.4).window(frequency) / plain
    assert raised[0] == 1
    assert raised[2] == pytest.approx(1.8)
    assert raised.max() == raised[2]
    floored = Kernel(0.5, 3.0, floor_per_mm=0.1).window(frequency) / plain
    # The NPS f * window^2 is sqrt(f^2 + floor^2).
    np.testing.assert_allclose(frequency[1:] * floored[1:] ** 2, np.hypot(frequency[1:], 0.1))
    assert np.isfinite(floored[0])


def test_a_name_without_a_kernel_is_refused() -> None:
    with pytest.raises(InputError, match="no kernel 'bone'; choose soft or sharp"):
        find_kernel("bone")


@pytest.mark.parametrize("name", KERNELS)
def test_the_kernel_of_a_scan_is_measured_in_its_noise(generated: dict[float, GeneratedNoise], name: str) -> None:
    one = generated[0.7]
    noise = KERNELS[name].shape(one.rays, one.spacing)
    scan = np.where(np.abs(noise) < 1e9, 40 + noise * (10 / noise[:, 96:160, 96:160].std()), 0)
    measured = measure_kernel(scan, one.spacing)
    frequency = np.linspace(0.12, 0.65, 12)
    expected = KERNELS[name].window(frequency)
    found = measured.window(frequency)
    np.testing.assert_allclose(found / found.mean(), expected / expected.mean(), atol=0.2)
    # As loud as the soft kernel, whose noise a dose is told by.
    shaped = [kernel.shape(one.rays, one.spacing)[:, 96:160, 96:160].std() for kernel in (measured, KERNELS["soft"])]
    assert shaped[0] == pytest.approx(shaped[1], rel=0.1)


def test_a_kernel_cannot_be_measured_without_soft_tissue() -> None:
    with pytest.raises(InputError, match="no uniform soft tissue"):
        measure_kernel(np.full((2, 128, 128), -1000, np.int16), (0.7, 0.7))
