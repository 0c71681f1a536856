"""HU bias by tissue: does denoising shift the HU of air, lung, fat, soft tissue or bone?"""

from __future__ import annotations

import numpy as np

from .image_quality import hu_bias, masks_of_ranges

TISSUES: dict[str, tuple[float, float]] = {
    "air": (-1024, -950),
    "lung": (-950, -500),
    "fat": (-200, -30),
    "soft": (-30, 150),
    "enhanced": (150, 300),
    "bone": (300, 3071),
}
"""HU ranges; "enhanced" is contrast agent in vessels and organs, and cancellous bone."""


def tissue_masks(reference: np.ndarray) -> dict[str, np.ndarray]:
    """Mask of each tissue from the smoothed, eroded reference (``image_quality.tissue_mask``).

    Args:
        reference: (slices, rows, columns), HU.
    """
    return dict(zip(TISSUES, masks_of_ranges(reference, list(TISSUES.values())), strict=True))


def tissue_bias(image: np.ndarray, reference: np.ndarray, masks: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean of image minus reference in HU for each mask; nan where a tissue does not occur."""
    return {name: hu_bias(image, reference, mask) for name, mask in masks.items()}
