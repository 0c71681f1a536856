"""The noise that an image already carries, measured where its soft tissue is uniform."""

from __future__ import annotations

import numpy as np

from ..errors import InputError

SOFT_TISSUE_HU = (-20.0, 150.0)
WINDOW_MM = 10.0
"""Side of the square in which noise is measured: large against the noise grain, small against organs."""
UNIFORM_SHARE = 0.1
"""Share of the soft-tissue windows, the most uniform ones, that counts."""
_LEAST_TISSUE = 0.01
"""Share of the windows beside a filling; fewer are the edge of a disc without noise, not tissue."""


def uniform_windows(volume: np.ndarray, spacing: tuple[float, float], side_mm: float = WINDOW_MM) -> np.ndarray:
    """Centres of square windows of uniform soft tissue.

    A window counts when its mean, and the means of its quarters, are soft tissue, and when the quarters' means agree best:
    that judges structure at a scale where noise averages out, so that choosing hardly biases the noise.

    Args:
        volume: (slices, rows, columns), HU.
        spacing: (rows, columns) in mm.
        side_mm: side of a window.

    Returns:
        (windows, 3) integer array of (slice, row, column) of the windows' first corners.

    Raises:
        InputError: there is no soft tissue to measure in.
    """
    height, width = window_size(spacing, side_mm)
    half = (height // 2, width // 2)
    found, spreads, filled = [], [], []
    fillings: set[float] = set()
    # One candidate every half window (neighbours that overlap more say nothing new), so that quarters are blocks of a grid.
    for z, image in enumerate(volume):
        blocks = _blocks(image, half)
        means = _quarters(blocks.mean(axis=(1, 3), dtype=np.float32))
        constant = _quarters(blocks.min(axis=(1, 3)) == blocks.max(axis=(1, 3)))
        lowest, highest = means.min(axis=0, initial=np.inf), means.max(axis=0, initial=-np.inf)
        rows, columns = np.nonzero((lowest > SOFT_TISSUE_HU[0]) & (highest < SOFT_TISSUE_HU[1]))
        found.append(np.stack([np.full_like(rows, z), rows * half[0], columns * half[1]], axis=1))
        spreads.append((highest - lowest)[rows, columns])
        filled.append(constant.max(axis=0)[rows, columns])
        of_one_hu = constant.min(axis=0)[rows, columns] & (spreads[-1] == 0)
        fillings.update(lowest[rows, columns][of_one_hu].tolist())
    candidates, spread, is_tissue = np.concatenate(found), np.concatenate(spreads), ~np.concatenate(filled)
    if len(candidates) == 0:
        raise InputError(_NO_TISSUE)
    # One HU without noise, such as the 0 HU around a masked organ, fills what was not scanned. Several are a phantom's tissues.
    if len(fillings) == 1 and is_tissue.mean() >= _LEAST_TISSUE:
        candidates, spread = candidates[is_tissue], spread[is_tissue]
    keep = max(1, int(len(candidates) * UNIFORM_SHARE))
    return candidates[np.argsort(spread, kind="stable")[:keep]]


def _blocks(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Grid of blocks: (rows of blocks, rows, columns of blocks, columns)."""
    rows, columns = image.shape[0] // size[0], image.shape[1] // size[1]
    return image[: rows * size[0], : columns * size[1]].reshape(rows, size[0], columns, size[1])


def _quarters(of_blocks: np.ndarray) -> np.ndarray:
    """What blocks have, by window: (4, rows of windows, columns of windows)."""
    return np.stack([of_blocks[:-1, :-1], of_blocks[1:, :-1], of_blocks[:-1, 1:], of_blocks[1:, 1:]])


_NO_TISSUE = (
    "No uniform soft tissue was found to measure the image's own noise in; "
    "take a scan that shows some, or in Python give photons=... instead."
)


def window_size(spacing: tuple[float, float], side_mm: float = WINDOW_MM) -> tuple[int, int]:
    """Rows and columns of a noise window, both even."""
    height, width = (max(2, round(side_mm / mm / 2)) * 2 for mm in spacing)
    return height, width


def flat_patches(volume: np.ndarray, windows: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The windows' voxels, each window freed of its linear trend: (windows, height, width) float64, HU.

    The trend takes 3 degrees of freedom, so that the variance is the sum of squares over (height * width - 3).

    Args:
        volume: (slices, rows, columns), HU.
        windows: (windows, 3) first corners as (slice, row, column).
        size: (height, width) in pixels.
    """
    height, width = size
    patches = np.stack(
        [volume[z, y : y + height, x : x + width] for z, y, x in windows], dtype=np.float64, casting="unsafe"
    ).reshape(len(windows), -1)
    row, column = (axis.ravel() for axis in np.mgrid[:height, :width].astype(float))
    design = np.stack([np.ones(height * width), row, column], axis=1)
    trend = patches @ np.linalg.pinv(design).T @ design.T
    return (patches - trend).reshape(len(windows), height, width)


def noise_sd(volume: np.ndarray, windows: np.ndarray, spacing: tuple[float, float]) -> float:
    """Noise SD in HU: root of the median variance in the given windows, each freed of its linear trend.

    Args:
        volume: (slices, rows, columns), HU.
        windows: from :func:`uniform_windows`.
        spacing: (rows, columns) in mm.
    """
    height, width = window_size(spacing)
    variances = (flat_patches(volume, windows, (height, width)) ** 2).sum(axis=(1, 2)) / (height * width - 3)
    return float(np.sqrt(np.median(variances)))
