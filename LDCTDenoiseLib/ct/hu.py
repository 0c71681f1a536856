"""Hounsfield-unit rules: how HU reach a network, and how its prediction gets back to HU.

Everything that turns HU into network units, or a prediction into a result, goes through this file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

    Array = TypeVar("Array", np.ndarray, torch.Tensor)

AIR_FLOOR_HU = -1024.0
"""Lowest HU of a 12-bit CT; anything below it is padding, not tissue."""


@dataclass(frozen=True)
class HUScale:
    """Linear map between HU and network units: ``(HU + offset) / width``.

    The default, (HU + 1024) / 4095, takes [-1024, 3071] HU to [0, 1]. A model records the scale it was trained with.
    """

    offset: float = 1024.0
    width: float = 4095.0

    def clamp(self, hu: Array) -> Array:
        """HU limited to the range that maps to [0, 1]; a network never sees anything else."""
        return hu.clip(-self.offset, self.width - self.offset)

    def to_unit(self, hu: Array) -> Array:
        """Clamped HU in network units, [0, 1]."""
        return (self.clamp(hu) + self.offset) / self.width

    def to_hu_difference(self, unit_difference: Array) -> Array:
        """A difference in network units, in HU."""
        return unit_difference * self.width

    def as_metadata(self) -> dict[str, float]:
        return asdict(self)


DEFAULT_SCALE = HUScale()


def is_padding(hu: Array, padding: float | Array | None = None) -> Array:
    """Boolean mask of voxels that carry no tissue: below -1024 HU, or padding by its value in HU or its mask."""
    mask = hu < AIR_FLOOR_HU
    if padding is not None:
        mask = mask | (hu == padding if isinstance(padding, (int, float)) else padding)
    return mask


def add_change(hu: np.ndarray, change_hu: np.ndarray, padding: float | np.ndarray | None = None) -> np.ndarray:
    """Add a float32 change in HU to voxels, leaving padding untouched.

    Adding a *change* instead of replacing the voxel keeps values outside the network's range.
    Integer types keep their type: the change is rounded to the nearest integer and the sum saturates.
    Floating types give float32.

    Args:
        hu: voxels in HU, any shape, integer or floating type.
        change_hu: float32 change in HU, same shape.
        padding: HU of padding voxels, or their boolean mask, if the header names any.
    """
    change_hu = np.where(is_padding(hu, padding), np.float32(0), change_hu)
    if not np.issubdtype(hu.dtype, np.integer):
        return hu.astype(np.float32) + change_hu
    limits = np.iinfo(hu.dtype)
    # int64 and not float32: an int32 voxel above 2**24 would lose its last digits in float32.
    total = hu.astype(np.int64) + np.rint(change_hu).astype(np.int64)
    return np.clip(total, limits.min, limits.max).astype(hu.dtype)


def add_change_to_tensor(hu: torch.Tensor, change_hu: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
    """:func:`add_change` on a device, for integers of at most 16 bits.

    Args:
        hu: integer voxels in HU.
        change_hu: float32 change in HU, same shape.
        padding: boolean mask, same shape.
    """
    import torch

    limits = torch.iinfo(hu.dtype)
    total = hu.int() + change_hu.round().masked_fill(padding, 0).int()
    return total.clamp(limits.min, limits.max).to(hu.dtype)
