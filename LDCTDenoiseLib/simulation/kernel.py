"""Reconstruction kernels as continuous curves in cycles per mm."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..measures.nps import MM_PER_CM, tissue_noise_power, tissue_windows

_LOWEST_PER_MM = 1e-3
"""The floor's curve grows without limit towards zero frequency; below this it stays as it is here."""


class ReconstructionKernel(ABC):
    """The window that a reconstruction kernel puts on the ramp filter.

    A curve in cycles per mm, so that a kernel gives noise of the same texture whatever the pixel size, up to the pixels'
    Nyquist frequency. Noise filtered with the bare ramp has a noise power spectrum (NPS) in proportion to the frequency f,
    and f * window(f)^2 after the kernel.
    """

    @abstractmethod
    def window(self, frequency_per_mm: np.ndarray) -> np.ndarray:
        """The factor on the ramp at radial frequencies in cycles per mm; same shape."""

    def shape(self, images: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
        """Images of the bare ramp as this kernel would have reconstructed them.

        The images wrap round at their borders: noise there mixes with noise, not with emptiness, and keeps its strength.

        Args:
            images: (..., rows, columns).
            spacing: (rows, columns) in mm.

        Returns:
            Same shape, float32.
        """
        rows, columns = images.shape[-2:]
        frequency = np.hypot(np.fft.fftfreq(rows, spacing[0])[:, None], np.fft.rfftfreq(columns, spacing[1])[None, :])
        window = self.window(frequency.astype(np.float32))
        return np.fft.irfft2(np.fft.rfft2(images) * window, s=(rows, columns)).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Kernel(ReconstructionKernel):
    """A kernel by a few numbers.

    Attributes:
        cutoff_per_mm: frequency at which the curve has fallen to 1/e.
        order: how suddenly it falls: exp(-(f/cutoff)^order).
        enhancement: share by which edge enhancement raises the curve at ``enhancement_per_mm``; 0 is none.
        enhancement_per_mm: frequency that is raised most.
        floor_per_mm: below about this frequency the NPS no longer falls with f, but stays even.
    """

    cutoff_per_mm: float
    order: float = 2.0
    enhancement: float = 0.0
    enhancement_per_mm: float = 0.5
    floor_per_mm: float = 0.0

    def window(self, frequency_per_mm: np.ndarray) -> np.ndarray:
        """As :meth:`ReconstructionKernel.window`."""
        ratio = (frequency_per_mm / self.enhancement_per_mm) ** 2
        curve = np.exp(-((frequency_per_mm / self.cutoff_per_mm) ** self.order))
        curve = curve * (1 + self.enhancement * ratio * np.exp(1 - ratio))
        return curve * (1 + (self.floor_per_mm / np.maximum(frequency_per_mm, _LOWEST_PER_MM)) ** 2) ** 0.25


KERNELS = {
    "soft": Kernel(cutoff_per_mm=0.466, order=2.74),
    "sharp": Kernel(cutoff_per_mm=0.835, order=5.9, floor_per_mm=0.075),
}
"""Kernels by name. Fitted to the NPS of scans with a soft body kernel (B30f: peak at 0.25 per mm, mean 0.33) and with a sharp
one (D45f: peak at 0.55 per mm, mean 0.50 to 0.56; half of the peak and more is left at 0.75 per mm)."""


def find_kernel(name: str) -> Kernel:
    """The kernel of a name.

    Raises:
        InputError: there is none.
    """
    try:
        return KERNELS[name]
    except KeyError:
        raise InputError(f"There is no kernel '{name}'; choose {' or '.join(KERNELS)}.") from None


_CUTOFFS_PER_MM = (0.25, 1.3)
"""From very soft to bone."""
_CUTOFFS_PER_PIXEL = (0.17, 0.6)
"""Where scans' kernels lie in cycles per pixel: a user takes a matrix that holds what the kernel passes."""


def random_kernel(rng: np.random.Generator, pixel_mm: float | None = None) -> Kernel:
    """A kernel between very soft and bone with edge enhancement, as scanners offer them, or as they suit pixels of a size."""
    low, high = _CUTOFFS_PER_MM if pixel_mm is None else (cutoff / pixel_mm for cutoff in _CUTOFFS_PER_PIXEL)
    return Kernel(
        cutoff_per_mm=math.exp(rng.uniform(math.log(low), math.log(high))),
        order=rng.uniform(1.5, 6.0),
        enhancement=rng.uniform(0.0, 1.5) * (rng.random() < 0.5),
        enhancement_per_mm=rng.uniform(0.3, 0.7),
        floor_per_mm=rng.uniform(0.0, 0.15) * (rng.random() < 0.6),
    )


@dataclass(frozen=True)
class MeasuredKernel(ReconstructionKernel):
    """A kernel whose curve was measured.

    Attributes:
        frequency_per_mm: rising.
        factor: on the ramp at these; constant below the first and above the last.
    """

    frequency_per_mm: tuple[float, ...]
    factor: tuple[float, ...]

    def window(self, frequency_per_mm: np.ndarray) -> np.ndarray:
        """As :meth:`ReconstructionKernel.window`."""
        return np.interp(frequency_per_mm, self.frequency_per_mm, self.factor)


_LOWEST_MEASURED_PER_MM = 0.1
"""Slower than this, anatomy looks like noise."""


def measure_kernel(hu: np.ndarray, spacing: tuple[float, float]) -> MeasuredKernel:
    """The kernel of a scan by the NPS of its uniform soft tissue, as loud as the soft kernel.

    Args:
        hu: (slices, rows, columns).
        spacing: (rows, columns) in mm.

    Raises:
        InputError: there is no uniform soft tissue to measure in.
    """
    windows = tissue_windows(hu, spacing)
    if windows is None:
        raise InputError("The scan has no uniform soft tissue to measure its noise in; leave it out.")
    per_cm, power = tissue_noise_power(hu, windows, spacing).radial
    frequency = per_cm / MM_PER_CM
    known = frequency >= _LOWEST_MEASURED_PER_MM
    frequency, factor = frequency[known], np.sqrt(power[known] / frequency[known])
    kernel = MeasuredKernel(tuple(frequency.tolist()), tuple(factor.tolist()))
    along = np.linspace(0, frequency[-1], 256)
    # In a ring of frequency f there are f times as many, each with a power of f * window(f)^2.
    loudness = np.sqrt(np.sum((along * kernel.window(along)) ** 2) / np.sum((along * KERNELS["soft"].window(along)) ** 2))
    return MeasuredKernel(kernel.frequency_per_mm, tuple((factor / loudness).tolist()))
