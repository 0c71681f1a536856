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

    Examples:
        >>> import numpy as np
        >>> HUScale().to_unit(np.array([-2000.0, -1024.0, 3071.0])).tolist()
        [0.0, 0.0, 1.0]
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
        """What a model file keeps of the scale."""
        return asdict(self)


DEFAULT_SCALE = HUScale()


def is_padding(hu: Array, padding: float | Array | None = None) -> Array:
    """Boolean mask of voxels that carry no tissue: below -1024 HU, or padding by its value in HU or its mask."""
    mask = hu < AIR_FLOOR_HU
    if padding is None:
        return mask
    is_mask = str(getattr(padding, "dtype", "")).endswith("bool")  # of numpy or torch
    return mask | (padding if is_mask else hu == padding)  # type: ignore[operator]


def finish_hu(hu: Array, change_hu: Array, padding: float | Array | None = None) -> Array:
    """The result of a network in HU: the input plus a change, padding untouched. The one place that does this.

    Adding a *change* instead of replacing the voxel keeps values outside the network's range.
    Integer types keep their type: the change is rounded to the nearest integer and the sum saturates.
    Floating types give float32.

    Examples:
        >>> import numpy as np
        >>> finish_hu(np.array([40, -2000], np.int16), np.array([-2.6, 5.0], np.float32)).tolist()  # -2000 HU is padding
        [37, -2000]

    Args:
        hu: voxels in HU, any shape, integer or floating type; a tensor's integers have at most 16 bits.
        change_hu: float32 change in HU, same shape and kind of array.
        padding: HU of padding voxels, or their boolean mask, if the header names any.
    """
    mask = is_padding(hu, padding)
    if not isinstance(hu, np.ndarray):
        return _finish_tensor(hu, change_hu, mask)
    change = np.where(mask, np.float32(0), change_hu)
    if not np.issubdtype(hu.dtype, np.integer):
        return hu.astype(np.float32) + change
    limits = np.iinfo(hu.dtype)
    # int64 and not float32: an int32 voxel above 2**24 would lose its last digits in float32.
    total = hu.astype(np.int64) + np.rint(change).astype(np.int64)
    return np.clip(total, limits.min, limits.max).astype(hu.dtype)


def _finish_tensor(hu: torch.Tensor, change_hu: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    import torch  # at first use: who asks for tensors has it

    if hu.is_floating_point():
        return hu.float() + change_hu.masked_fill(mask, 0)
    limits = torch.iinfo(hu.dtype)
    total = hu.int() + change_hu.round().masked_fill(mask, 0).int()
    return total.clamp(limits.min, limits.max).to(hu.dtype)


def as_voxels(hu: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """HU in a voxel type: for integers rounded to the nearest, and saturated."""
    if not np.issubdtype(dtype, np.integer):
        return hu.astype(dtype)
    limits = np.iinfo(dtype)
    whole = np.rint(hu) if np.issubdtype(hu.dtype, np.floating) else hu
    return np.clip(whole, limits.min, limits.max).astype(dtype)
