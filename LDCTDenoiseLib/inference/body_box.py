"""Which part of the slices is computed: everything but padding, or the body's bounding box."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..ct.hu import is_padding

BODY_HU = -500
"""Between air and tissue, fat included."""
_CELL = 4
"""Side of the cells in px in which the body is looked for: the thin shells of tables and the noise of air vanish in them."""
_SMALLEST_PART = 0.01
"""Parts smaller than this share of the largest are not the body: tubes, blankets. Arms beside the trunk are larger."""


class Region(StrEnum):
    """What to denoise."""

    ALL = "all"  # everything but padding
    BODY = "body"  # the bounding box of the body in all slices; what lies around it stays as it is


@dataclass(frozen=True)
class Box:
    """Rows and columns, half-open."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the box."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def grown(self, margin: int, shape: tuple[int, int]) -> Box:
        """The box with a margin, within slices of a shape."""
        return Box(_grown(self.rows, margin, shape[0]), _grown(self.columns, margin, shape[1]))

    def within(self, outer: Box) -> Box:
        """The same box, counted from an outer box's corner."""
        return Box(_moved(self.rows, -outer.rows.start), _moved(self.columns, -outer.columns.start))


def box_to_denoise(volume: np.ndarray, region: Region, padding: float | np.ndarray | None = None) -> Box | None:
    """The smallest box that holds what is to be denoised in any slice; None if there is nothing.

    Args:
        volume: (slices, rows, columns), HU.
        region: what to denoise.
        padding: HU of padding voxels, or their boolean mask, of the volume's shape.
    """
    return _body(volume, padding) if region is Region.BODY else _all_but_padding(volume, padding)


def _all_but_padding(volume: np.ndarray, padding: float | np.ndarray | None) -> Box | None:
    rows, columns = np.zeros(volume.shape[1], bool), np.zeros(volume.shape[2], bool)
    for index, one in enumerate(volume):
        work = ~is_padding(one, padding[index] if isinstance(padding, np.ndarray) else padding)
        rows |= work.any(axis=1)
        columns |= work.any(axis=0)
        box = _bounds(rows, columns)
        if box is not None and box.shape == volume.shape[1:]:  # as in nearly every CT: no need to see the rest
            return box
    return _bounds(rows, columns)


def _body(volume: np.ndarray, padding: float | np.ndarray | None) -> Box | None:
    import SimpleITK as sitk  # here: it takes a fifth of a second, for which a worker's start need not wait

    cells = np.stack([_in_cells(one) for one in volume])
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray((cells > BODY_HU).astype(np.uint8)), True))
    labels = sitk.GetArrayFromImage(parts)
    sizes = np.bincount(labels.ravel())[1:]
    if len(sizes) == 0:  # nothing but air, lung or padding: what would be left out cannot be told
        return _all_but_padding(volume, padding)
    body = (labels > 0) & (labels <= np.count_nonzero(sizes >= _SMALLEST_PART * sizes[0]))
    found = _bounds(np.any(body, axis=(0, 2)), np.any(body, axis=(0, 1)))
    assert found is not None, "there is a largest part"
    # A cell on every side: the body's edge may lie in a cell that is mostly air.
    in_pixels = Box(_scaled(found.rows, _CELL), _scaled(found.columns, _CELL))
    return in_pixels.grown(_CELL, (volume.shape[1], volume.shape[2]))


def _in_cells(image: np.ndarray) -> np.ndarray:
    """Means of cells; a cell that is cut off at the end goes with what it has."""
    starts = [np.arange(0, length, _CELL) for length in image.shape]
    sums = np.add.reduceat(np.add.reduceat(np.clip(image.astype(np.float32), -1024, 3071), starts[0], axis=0), starts[1], axis=1)
    heights, widths = (np.diff([*start, length]) for start, length in zip(starts, image.shape, strict=True))
    return sums / np.outer(heights, widths)


def _bounds(rows: np.ndarray, columns: np.ndarray) -> Box | None:
    (inside_rows,), (inside_columns,) = rows.nonzero(), columns.nonzero()
    if len(inside_rows) == 0:
        return None
    return Box(slice(int(inside_rows[0]), int(inside_rows[-1]) + 1), slice(int(inside_columns[0]), int(inside_columns[-1]) + 1))


def _scaled(span: slice, factor: int) -> slice:
    return slice(span.start * factor, span.stop * factor)


def _moved(span: slice, shift: int) -> slice:
    return slice(span.start + shift, span.stop + shift)


def _grown(span: slice, margin: int, length: int) -> slice:
    return slice(max(0, span.start - margin), min(length, span.stop + margin))
