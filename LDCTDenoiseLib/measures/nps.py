"""Noise power spectrum (NPS): how strong the noise is at each spatial frequency, which is what texture is.

ICRU Report 87, 2012, section 4.4; Siewerdsen et al., Med Phys 2002;29:2655.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import InputError
from .noise_level import flat_patches, uniform_windows, window_size

SIDE_MM = 20.0
"""Side of the windows on patients: its reciprocal, 0.5 per cm, is the resolution in frequency."""
MM_PER_CM = 10.0


@dataclass(frozen=True)
class NoisePower:
    """A noise power spectrum.

    Attributes:
        spectrum: (rows, columns) in HU^2 mm^2, zero frequency in the middle (as ``numpy.fft.fftshift`` puts it).
        spacing: (rows, columns) pixel spacing in mm.
    """

    spectrum: np.ndarray
    spacing: tuple[float, float]

    @property
    def variance(self) -> float:
        """Integral of the spectrum over both frequencies: the noise variance, HU^2."""
        return float(self.spectrum.sum() * np.prod([self._step_per_mm(axis) for axis in (0, 1)]))

    def _step_per_mm(self, axis: int) -> float:
        return 1 / (self.spectrum.shape[axis] * self.spacing[axis])

    @cached_property
    def radial(self) -> tuple[np.ndarray, np.ndarray]:
        """(frequencies per cm, mean NPS in rings of one frequency step, HU^2 mm^2), up to the Nyquist frequency.

        Zero frequency is left out: the removed mean took it away.
        """
        rows, columns = (np.fft.fftshift(np.fft.fftfreq(n, mm)) for n, mm in zip(self.spectrum.shape, self.spacing, strict=True))
        distance = np.hypot(rows[:, None], columns[None, :])
        step = max(self._step_per_mm(0), self._step_per_mm(1))
        ring = np.rint(distance / step).astype(int)
        count = np.bincount(ring.ravel())
        power = np.bincount(ring.ravel(), self.spectrum.ravel()) / np.maximum(count, 1)
        mean_distance = np.bincount(ring.ravel(), distance.ravel()) / np.maximum(count, 1)
        inside = slice(1, max(2, int(0.5 / max(self.spacing) / step) + 1))
        return mean_distance[inside] * MM_PER_CM, power[inside]

    @property
    def mean_frequency(self) -> float:
        """Mean of the radial curve's frequencies weighted by its power, per cm; nan without noise."""
        frequency, power = self.radial
        return float(np.sum(frequency * power) / np.sum(power)) if power.any() else float("nan")

    @property
    def peak_frequency(self) -> float:
        """Frequency of the radial curve's maximum, per cm; nan without noise."""
        frequency, power = self.radial
        return float(frequency[np.argmax(power)]) if power.any() else float("nan")


def noise_power(volume: np.ndarray, windows: np.ndarray, size: tuple[int, int], spacing: tuple[float, float]) -> NoisePower:
    """NPS of a volume's noise in windows: the mean of their squared Fourier transforms, each freed of its linear trend.

    Args:
        volume: (slices, rows, columns), HU.
        windows: (windows, 3) first corners as (slice, row, column), in regions without structure.
        size: (height, width) of a window in pixels.
        spacing: (rows, columns) in mm.
    """
    patches = flat_patches(volume, windows, size)
    pixels = size[0] * size[1]
    squares = np.abs(np.fft.fft2(patches)) ** 2
    # The trend took 3 of the window's degrees of freedom, and with them that share of the power.
    spectrum = squares.mean(axis=0) * (spacing[0] * spacing[1] / pixels) * (pixels / (pixels - 3))
    return NoisePower(np.fft.fftshift(spectrum), spacing)


def tissue_windows(volume: np.ndarray, spacing: tuple[float, float], side_mm: float = SIDE_MM) -> np.ndarray | None:
    """Windows of uniform soft tissue, by default large enough for a spectrum; None where there are none."""
    try:
        return uniform_windows(volume, spacing, side_mm)
    except InputError:
        return None


def tissue_noise_power(volume: np.ndarray, windows: np.ndarray, spacing: tuple[float, float]) -> NoisePower:
    """NPS in windows of :func:`tissue_windows`, which may have been found in another volume of the same scan."""
    return noise_power(volume, windows, window_size(spacing, SIDE_MM), spacing)
