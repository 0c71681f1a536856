"""Noise left: the share of a low dose's inserted noise that remains after denoising, and where.

With n = low - full, the noise that the low dose has beyond the normal dose,

    noise left = <output - full, n> / <n, n>.

1 is untouched, 0 is removed. It is linear in the output, so that a blend of input and output lies on the straight line between
1 and the output's own value. It asks only for what n leaves behind: blur and the reference's own noise hardly enter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .image_quality import tissue_mask
from .tissue_bias import tissue_masks

TISSUES = ("lung", "fat", "soft", "bone")
"""Those of ``tissue_bias.TISSUES`` that noise left is told for."""
TILE_PX = 24
"""Side of a tile of the map: some hundred grains of noise, and small enough to show an island of noise."""
_BODY_HU = (-900.0, np.inf)
_BODY_SHARE = 0.9
_FEWEST_VOXELS = 50


@dataclass(frozen=True)
class NoiseLeft:
    """Noise left of one output.

    Attributes:
        by_tissue: for each of ``TISSUES``; nan where one hardly occurs.
        tiles: (slices, rows, columns) of tiles, nan outside the body.
    """

    by_tissue: Mapping[str, float]
    tiles: np.ndarray

    @property
    def median(self) -> float:
        """Median over the body's tiles; nan without any."""
        return self.percentile(50)

    @property
    def p90(self) -> float:
        """90th percentile over the body's tiles: far above the median, it tells of islands of untouched noise."""
        return self.percentile(90)

    def percentile(self, percent: float) -> float:
        """Percentile over the body's tiles; nan without any."""
        known = self.tiles[np.isfinite(self.tiles)]
        return float(np.percentile(known, percent)) if known.size else float("nan")


def noise_left(output: np.ndarray, full: np.ndarray, low: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Share of the inserted noise that is left: ``<output - full, low - full> / <low - full, low - full>``.

    Args:
        output, full, low: denoised, normal and low dose, the same shape, HU.
        mask: voxels that count; None is all.

    Returns:
        1 for ``output = low``, 0 for ``output = full``; nan where low and full are equal.

    Raises:
        InputError: the shapes differ.

    Examples:
        >>> import numpy as np
        >>> full = np.zeros((1, 64, 64))
        >>> low = full + np.random.default_rng(0).normal(0, 20, full.shape)
        >>> round(noise_left(0.3 * low + 0.7 * full, full, low), 3)
        0.3
    """
    error, noise = _error_and_noise(output, full, low)
    if mask is not None:
        error, noise = error[mask], noise[mask]
    power = float(np.sum(noise * noise))
    return float(np.sum(error * noise)) / power if power else float("nan")


def body_of_tiles(full: np.ndarray) -> np.ndarray:
    """The body that tiles are told for: of :func:`tissue_mask`, so that one smoothing serves every method that is measured."""
    return tissue_mask(full, _BODY_HU)


def noise_left_of_tiles(
    output: np.ndarray, full: np.ndarray, low: np.ndarray, body: np.ndarray | None = None, tile_px: int = TILE_PX
) -> np.ndarray:
    """:func:`noise_left` in square tiles of the body.

    Args:
        output, full, low: (slices, rows, columns), HU.
        body: ``body_of_tiles(full)``, if it is there already.
        tile_px: side of a tile; what is left over at the last rows and columns does not count.

    Returns:
        (slices, rows // tile_px, columns // tile_px); nan for tiles of which less than nine tenths are body, by the smoothed
        reference.

    Raises:
        InputError: the shapes differ.
    """
    error, noise = _error_and_noise(output, full, low)
    power = _tile_sums(noise * noise, tile_px)
    body = body_of_tiles(full) if body is None else body
    known = (_tile_sums(body.astype(float), tile_px) > _BODY_SHARE * tile_px**2) & (power > 0)
    return np.where(known, _tile_sums(error * noise, tile_px) / np.where(known, power, 1), np.nan)


def measure_noise_left(
    output: np.ndarray,
    full: np.ndarray,
    low: np.ndarray,
    masks: Mapping[str, np.ndarray] | None = None,
    body: np.ndarray | None = None,
) -> NoiseLeft:
    """Noise left by tissue and by tile.

    Args:
        output, full, low: (slices, rows, columns), HU.
        masks: of ``tissue_masks(full)``, if they are there already.
        body: ``body_of_tiles(full)``, likewise.

    Raises:
        InputError: the shapes differ.
    """
    masks = tissue_masks(full) if masks is None else masks
    by_tissue = {
        name: noise_left(output, full, low, masks[name]) if masks[name].sum() >= _FEWEST_VOXELS else float("nan")
        for name in TISSUES
    }
    return NoiseLeft(by_tissue, noise_left_of_tiles(output, full, low, body))


def _error_and_noise(output: np.ndarray, full: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not output.shape == full.shape == low.shape:
        raise InputError(
            f"Noise left needs three images of one shape; the output has {output.shape}, the normal dose {full.shape} and "
            f"the low dose {low.shape}."
        )
    reference = full.astype(np.float64)
    return output - reference, low - reference


def _tile_sums(values: np.ndarray, side: int) -> np.ndarray:
    slices, rows, columns = values.shape[0], values.shape[1] // side, values.shape[2] // side
    whole = values[:, : rows * side, : columns * side]
    return whole.reshape(slices, rows, side, columns, side).sum(axis=(2, 4))
