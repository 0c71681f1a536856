"""Contrast-to-noise ratio (CNR) of a disc: can the eye tell a faint lesion from its surroundings?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..simulation.phantom import Insert, Phantom

MARGIN_MM = 1.5
"""Kept away from the disc's blurred border on both sides."""
RING_MM = 3.0
"""Width of the ring of background around the disc."""


@dataclass(frozen=True)
class ContrastToNoise:
    """Of one disc, over slices with different noise.

    Attributes:
        contrast: mean inside minus mean of the ring around, HU.
        noise: SD in the ring, HU.
    """

    contrast: float
    noise: float

    @property
    def ratio(self) -> float:
        """CNR: contrast over noise; inf without noise."""
        return abs(self.contrast) / self.noise if self.noise > 0 else float("inf")


def contrast_to_noise(images: np.ndarray, phantom: Phantom, disc: Insert) -> ContrastToNoise:
    """CNR of one of the phantom's discs.

    Args:
        images: (slices, rows, columns), HU: the phantom with noise.
        phantom: the phantom, of the same shape.
        disc: a circular insert of it.
    """
    inside = phantom.mask(disc, MARGIN_MM)
    ring = phantom.mask(disc, -MARGIN_MM - RING_MM) & ~phantom.mask(disc, -MARGIN_MM)
    contrasts, variances = [], []
    for image, within, around in zip(images.astype(np.float64), inside, ring, strict=True):
        contrasts.append(image[within].mean() - image[around].mean())
        variances.append(image[around].var(ddof=1))
    return ContrastToNoise(float(np.mean(contrasts)), float(np.sqrt(np.mean(variances))))
