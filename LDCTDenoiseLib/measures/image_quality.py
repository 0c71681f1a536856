"""Image quality against a reference: PSNR, SSIM and VIF in a named display window, RMSE and HU bias in HU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..system.extras import require_extra


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
    difference = image.clamp(window.low, window.high) - reference.clamp(window.low, window.high)
    return 10 * torch.log10(window.width**2 / difference.square().mean())


def psnr_of_arrays(image: np.ndarray, reference: np.ndarray, window: Window) -> float:
    """:func:`psnr` of arrays of any real type."""
    return float(psnr(torch.from_numpy(image).float(), torch.from_numpy(reference).float(), window))


def ssim(image: np.ndarray, reference: np.ndarray, window: Window) -> float:
    """Structural similarity, mean over the slices of (slices, rows, columns) HU clipped to the window.

    Gaussian weights of SD 1.5 px over 11 px, as in Wang et al., IEEE Trans Image Process 2004;13:600.

    Raises:
        MissingExtraError: the ``report`` extra is not installed.
    """
    with require_extra("report"):
        from skimage.metrics import structural_similarity
    values = [
        structural_similarity(
            np.clip(one, window.low, window.high).astype(np.float64),
            np.clip(other, window.low, window.high).astype(np.float64),
            data_range=window.width,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for one, other in zip(image, reference, strict=True)
    ]
    return float(np.mean(values))


def vif(image: np.ndarray, reference: np.ndarray, window: Window) -> float:
    """Visual information fidelity (pixel domain), mean over the slices of (slices, rows, columns) HU clipped to the window.

    The window becomes 0 to 255, the range that the noise variance of the visual system, 2, is meant for. 1 for equal images;
    both sides at least 41 px. Sheikh and Bovik, IEEE Trans Image Process 2006;15:430.

    Raises:
        MissingExtraError: the ``report`` extra is not installed.
    """
    with require_extra("report"):
        from torchmetrics.functional.image import visual_information_fidelity

    def as_grey(hu: np.ndarray) -> torch.Tensor:
        grey = (np.clip(hu, window.low, window.high) - window.low) * (_VIF_RANGE / window.width)
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
    images = torch.as_tensor(np.ascontiguousarray(reference, dtype=np.float32))[:, None]
    smooth = F.avg_pool2d(images, 7, stride=1, padding=3, count_include_pad=False)
    outside = ((smooth < hu_range[0]) | (smooth > hu_range[1])).float()
    return (F.max_pool2d(outside, 5, stride=1, padding=2) == 0)[:, 0].numpy()


def hu_bias(image: np.ndarray, reference: np.ndarray, mask: np.ndarray) -> float:
    """Mean of image minus reference in HU over the mask; nan for an empty mask."""
    if not mask.any():
        return float("nan")
    return float(np.mean(image[mask].astype(np.float64) - reference[mask].astype(np.float64)))
