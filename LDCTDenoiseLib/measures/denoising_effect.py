"""What denoising did to a volume, in the few figures that a user looks at first."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ct.hu import is_padding
from ..errors import InputError
from .image_quality import ABDOMEN, psnr_of_arrays, rmse, ssim
from .noise_level import noise_sd, uniform_windows

MOST_SLICES = 16
"""Figures come from at most so many slices, evenly spaced: they hardly change with more, and a user waits for them."""


def compare(
    before: np.ndarray,
    after: np.ndarray,
    spacing: tuple[float, float],
    *,
    slices: tuple[int, int],
    reference: np.ndarray | None = None,
) -> dict[str, Any]:
    """Noise and mean before and after, and both against a normal-dose reference if there is one.

    Args:
        before, after, reference: (slices, rows, columns), HU.
        spacing: (rows, columns) in mm.
        slices: zero-based half-open range that was denoised.

    Returns:
        ``slices`` (how many were measured); ``noise_before`` and ``noise_after`` (SD in HU in the most uniform soft tissue
        of ``before``; None where there is none); ``mean_shift`` (mean of after minus before over all voxels but padding,
        HU). With a reference also ``window`` (name) and, for ``before`` and ``after``, ``rmse`` (HU, over all voxels but
        padding), ``psnr`` (dB) and ``ssim`` (None for slices smaller than 11 px).

    Raises:
        InputError: the reference has another shape.
    """
    if reference is not None and reference.shape != before.shape:
        raise InputError(
            f"The reference has shape {reference.shape}, and the volume {before.shape}; "
            "choose a reference of the same scan on the same grid."
        )
    count = min(MOST_SLICES, slices[1] - slices[0])
    chosen = np.unique(np.linspace(slices[0], slices[1] - 1, count).round().astype(int))
    before, after = before[chosen], after[chosen]
    tissue = ~is_padding(before)
    figures: dict[str, Any] = {
        "slices": len(chosen),
        "mean_shift": _mean(after, tissue) - _mean(before, tissue) if tissue.any() else 0.0,
    }
    try:
        windows = uniform_windows(before, spacing)
    except InputError:  # no soft tissue: a lung slice, a phantom
        figures |= {"noise_before": None, "noise_after": None}
    else:
        figures |= {
            "noise_before": noise_sd(before, windows, spacing),
            "noise_after": noise_sd(after, windows, spacing),
        }
    if reference is not None:
        truth = np.asarray(reference[chosen])
        counted = tissue & ~is_padding(truth)
        figures |= {
            "window": ABDOMEN.name,
            "before": _against(before, truth, counted),
            "after": _against(after, truth, counted),
        }
    return figures


def _mean(image: np.ndarray, mask: np.ndarray) -> float:
    return float(image[mask].mean(dtype=np.float64))


def _against(image: np.ndarray, reference: np.ndarray, counted: np.ndarray) -> dict[str, float | None]:
    try:
        similarity: float | None = ssim(image, reference, ABDOMEN)
    except InputError:  # a very small image
        similarity = None
    error = rmse(image[counted], reference[counted]) if counted.any() else None
    return {"rmse": error, "psnr": psnr_of_arrays(image, reference, ABDOMEN), "ssim": similarity}
