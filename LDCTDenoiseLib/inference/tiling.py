"""A slice cut into tiles whose halos make the pieced result that of the whole slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

    Array = TypeVar("Array", np.ndarray, torch.Tensor)


def tile_spans(length: int, tile: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut one axis: (what to read, what of it to keep, where that goes) for each tile.

    The halo is read on inner sides only: at the slice's own border the network's zero padding must act as it would on
    the whole slice.
    """
    for start in range(0, length, tile):
        stop = min(start + tile, length)
        read_start, read_stop = max(0, start - halo), min(length, stop + halo)
        yield slice(read_start, read_stop), slice(start - read_start, stop - read_start), slice(start, stop)


def apply_in_tiles(
    function: Callable[[Array], Array], images: Array, tile: int, halo: int, empty_like: Callable[[Array], Array]
) -> Array:
    """Apply an image-to-image function with receptive-field radius ``halo`` tile by tile.

    Args:
        function: (batch, 1, r, c) to (batch, 1, r, c).
        images: (batch, 1, rows, columns).
        tile: largest side of a tile without its halo, px.
        halo: px.
        empty_like: makes an array for the result, numpy's or torch's.
    """
    rows, columns = images.shape[-2:]
    if rows <= tile and columns <= tile:
        return function(images)
    result = empty_like(images)
    for read_rows, keep_rows, put_rows in tile_spans(rows, tile, halo):
        for read_columns, keep_columns, put_columns in tile_spans(columns, tile, halo):
            piece = function(images[..., read_rows, read_columns])
            result[..., put_rows, put_columns] = piece[..., keep_rows, keep_columns]
    return result
