"""Image quality against a reference: PSNR, SSIM and VIF in a named display window, RMSE and HU bias in HU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..system.extras import require_extra

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Window:
    """A display window in HU; its width is the data range of PSNR and SSIM."""

    name: str
    centre: float
    width: float

    @property
    def low(self) -> float:
        """Lower bound in HU."""
        return self.centre - self.width / 2

    @property
    def high(self) -> float:
        """Upper bound in HU."""
        return self.centre + self.width / 2

    @property
    def label(self) -> str:
        """Name and data range, as they must stand beside every PSNR, SSIM and VIF."""
        return f"{self.name} (data range {self.width:g} HU)"


ABDOMEN = Window("C50/W400", 50, 400)
CHEST = Window("C-600/W1500", -600, 1500)
SOFT_TISSUE = Window("[-160,240]", 40, 400)
FULL_RANGE = Window("full range", 1023.5, 4095)
BRAIN = Window("C40/W80", 40, 80)
LIVER = Window("C100/W150", 100, 150)
WINDOWS = (ABDOMEN, CHEST, SOFT_TISSUE, FULL_RANGE)
_VIF_RANGE = 255.0
"""VIF's model of the eye's noise (variance 2) is made for 8-bit grey values."""


def psnr(image: torch.Tensor, reference: torch.Tensor, window: Window) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB, both images clipped to the window, whose width is the peak.

    Examples:
        >>> import torch
        >>> reference = torch.zeros(64, 64)
        >>> round(float(psnr(reference + 10, reference, ABDOMEN)), 2)  # 20 log10(400 HU / 10 HU)
        32.04

    Args:
        image: HU, any shape.
        reference: HU, same shape.
    """
    ratio: torch.Tensor = window.width**2 / _squared_error(image, reference, window)
    return 10 * ratio.log10()


def psnr_of_arrays(image: np.ndarray, reference: np.ndarray, window: Window) -> float:
    """:func:`psnr` of arrays of any real type."""
    error = float(_squared_error(image.astype(np.float32), reference.astype(np.float32), window))
    return 10 * math.log10(window.width**2 / error) if error else math.inf


def _squared_error(image: Any, reference: Any, window: Window) -> Any:
    """Mean over all pixels of arrays or tensors, in the window."""
    return ((image.clip(window.low, window.high) - reference.clip(window.low, window.high)) ** 2).mean()


_SSIM_SD, _SSIM_RADIUS = 1.5, 5
_SSIM_CONSTANTS = (0.01, 0.03)


def ssim(image: np.ndarray, reference: np.ndarray, window: Window) -> float:
    """Structural similarity, mean over the slices of (slices, rows, columns) HU clipped to the window.

    The window begins at 0, as grey values do: of means with signs, the comparison of luminance makes no sense.
    Gaussian weights of SD 1.5 px over 11 px, as in Wang et al., IEEE Trans Image Process 2004;13:600, where they fit whole.

    Raises:
        InputError: a side is shorter than 11 px.
    """
    if min(image.shape[1:]) < 2 * _SSIM_RADIUS + 1:
        raise InputError(f"SSIM needs slices of at least {2 * _SSIM_RADIUS + 1} x {2 * _SSIM_RADIUS + 1} pixels.")
    return float(np.mean([_ssim_of_slice(one, other, window) for one, other in zip(image, reference, strict=True)]))


def _ssim_of_slice(image: np.ndarray, reference: np.ndarray, window: Window) -> float:
    x, y = (_from_zero(one, window).astype(np.float64) for one in (image, reference))
    c1, c2 = ((constant * window.width) ** 2 for constant in _SSIM_CONSTANTS)
    mean_x, mean_y = _gaussian_means(x), _gaussian_means(y)
    variance_x, variance_y = _gaussian_means(x * x) - mean_x**2, _gaussian_means(y * y) - mean_y**2
    covariance = _gaussian_means(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float(np.mean(alike / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))))


def _from_zero(hu: np.ndarray, window: Window) -> np.ndarray:
    return np.clip(hu, window.low, window.high) - window.low


def _gaussian_means(image: np.ndarray) -> np.ndarray:
    """Weighted means around the pixels that have all their neighbours."""
    weights = np.exp(-0.5 * (np.arange(-_SSIM_RADIUS, _SSIM_RADIUS + 1) / _SSIM_SD) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        length = image.shape[axis] - 2 * _SSIM_RADIUS
        image = sum(
            weight * image[(slice(None),) * axis + (slice(place, place + length),)] for place, weight in enumerate(weights)
        )
    return image


def vif(image: np.ndarray, reference: np.ndarray, window: Window) -> float:
    """Visual information fidelity (pixel domain), mean over the slices of (slices, rows, columns) HU clipped to the window.

    The window becomes 0 to 255, the range that the noise variance of the visual system, 2, is meant for. 1 for equal images;
    both sides at least 41 px. Sheikh and Bovik, IEEE Trans Image Process 2006;15:430.

    Raises:
        MissingExtraError: the ``report`` extra is not installed.
    """
    with require_extra("report"):
        import torch
        from torchmetrics.functional.image import visual_information_fidelity

    def as_grey(hu: np.ndarray) -> torch.Tensor:
        grey = _from_zero(hu, window) * (_VIF_RANGE / window.width)
        return torch.as_tensor(np.ascontiguousarray(grey, dtype=np.float32))[None, None]

    pairs = zip(image, reference, strict=True)
    return float(np.mean([float(visual_information_fidelity(as_grey(one), as_grey(other))) for one, other in pairs]))


def rmse(image: np.ndarray, reference: np.ndarray) -> float:
    """Root mean squared error in HU over all voxels."""
    return float(np.sqrt(np.mean((image.astype(np.float64) - reference.astype(np.float64)) ** 2)))


def tissue_mask(reference: np.ndarray, hu_range: tuple[float, float]) -> np.ndarray:
    """Voxels of one tissue, taken from the smoothed and eroded reference.

    Binning a noisy reference by its own voxels fakes a bias (a voxel that noise lifted into the bin is compared with its
    lifted value), so the reference is averaged over 7x7 pixels, and 2 pixels at each border are dropped.

    Args:
        reference: (slices, rows, columns), HU.
        hu_range: lowest and highest HU of the tissue.
    """
    return masks_of_ranges(reference, [hu_range])[0]


def masks_of_ranges(reference: np.ndarray, hu_ranges: Sequence[tuple[float, float]]) -> list[np.ndarray]:
    """:func:`tissue_mask` for several tissues, with the reference smoothed once."""
    masks = [np.empty(reference.shape, bool) for _ in hu_ranges]
    for number, one in enumerate(reference):
        image = one.astype(np.float64)
        smooth = _box_sums(image, 3) / _box_sums(np.ones_like(image), 3)
        for mask, (low, high) in zip(masks, hu_ranges, strict=True):
            outside = (smooth < low) | (smooth > high)
            mask[number] = _box_sums(outside.astype(np.float64), 2) == 0
    return masks


def _box_sums(image: np.ndarray, radius: int) -> np.ndarray:
    """Sums over the squares around every pixel, as far as they lie in the image."""
    for axis in (0, 1):
        length = image.shape[axis]
        sums = np.cumsum(np.insert(image, 0, 0, axis=axis), axis=axis)
        places = np.arange(length)
        upper, lower = np.minimum(places + radius + 1, length), np.maximum(places - radius, 0)
        image = sums.take(upper, axis=axis) - sums.take(lower, axis=axis)
    return image


def hu_bias(image: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """Mean of image minus reference in HU over the mask; nan for an empty mask."""
    if not mask.any():
        return float("nan")
    return float(np.mean(image[mask].astype(np.float64) - reference[mask].astype(np.float64)))
