"""Task transfer function (TTF): the resolution of edges of a given contrast, measured across the border of a disc.

A denoiser is not linear: it may keep strong edges and blur weak ones, so that a single MTF does not describe it.

Richard et al., Med Phys 2012;39:4115; Samei et al. (AAPM TG 233), Med Phys 2019;46:e735.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..measures.nps import MM_PER_CM
from ..simulation.phantom import Insert

REACH_MM = 5.0
"""How far the border's surroundings are read on either side: inside it must be the disc, outside its background."""
_FLAT_MM = 3.0
"""Up to here the edge counts fully; from here to ``REACH_MM`` ever less, so that noise far from it does not count."""
_BINS_PER_PIXEL = 8
_STEP_PER_CM = 0.02


@dataclass(frozen=True)
class TaskTransfer:
    """Transfer of a border's contrast by spatial frequency.

    Attributes:
        frequency: per cm, up to the grid's Nyquist frequency: what lies beyond is not in the image.
        transfer: share that is transferred, 1 at frequency zero.
    """

    frequency: np.ndarray
    transfer: np.ndarray

    def falls_to(self, share: float) -> float:
        """Lowest frequency, per cm, at which the transfer has fallen to a share (0.5, 0.1); nan if it does not."""
        below = np.flatnonzero(self.transfer <= share)
        if len(below) == 0 or below[0] == 0:
            return float("nan")
        after = below[0]
        high, low = self.transfer[after - 1], self.transfer[after]
        step = self.frequency[after] - self.frequency[after - 1]
        return float(self.frequency[after - 1] + step * (high - share) / (high - low))


def task_transfer(images: np.ndarray, disc: Insert, spacing: tuple[float, float]) -> TaskTransfer:
    """TTF of a circular cylinder's border.

    The pixels' distances from the border sample the edge finer than the grid. The mean over the slices comes first:
    noise would pass for resolution.

    Args:
        images: (slices, rows, columns), HU: the same slice, usually with different noise.
        disc: a circular cylinder of the phantom without taper, more than ``REACH_MM`` away from anything else.
        spacing: (rows, columns) in mm.
    """
    image = images.mean(axis=0, dtype=np.float64)
    y, x = ((np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(image.shape, spacing, strict=True))
    distance = np.hypot(y[:, None] - disc.centre[0], x[None, :] - disc.centre[1]) - disc.radii[0]
    near = np.abs(distance) <= REACH_MM
    position, edge = _edge_profile(distance[near], image[near], min(spacing) / _BINS_PER_PIXEL)
    fading = np.clip((np.abs(position) - _FLAT_MM) / (REACH_MM - _FLAT_MM), 0, 1)
    line = np.gradient(edge, position) * (0.5 + 0.5 * np.cos(np.pi * fading))
    frequency = np.arange(0, MM_PER_CM / (2 * max(spacing)), _STEP_PER_CM)
    waves = np.exp(-2j * np.pi * (frequency / MM_PER_CM)[:, None] * position[None, :])
    transfer = np.abs(waves @ line)
    return TaskTransfer(frequency, transfer / transfer[0])


def _edge_profile(distance: np.ndarray, values: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (mm) in equal steps and the mean value there; a step that no pixel fell into is interpolated."""
    count = int(np.floor(REACH_MM / step))
    index = np.rint(distance / step).astype(int) + count
    inside = (index >= 0) & (index <= 2 * count)
    pixels = np.bincount(index[inside], minlength=2 * count + 1)
    sums = np.bincount(index[inside], values[inside], minlength=2 * count + 1)
    position = (np.arange(2 * count + 1) - count) * step
    filled = pixels > 0
    return position, np.interp(position, position[filled], sums[filled] / pixels[filled])
