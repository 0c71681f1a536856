"""Stored values to HU and back (PS3.3 C.11.1: HU = slope * stored + intercept), exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pydicom.valuerep import DSfloat

from ..errors import InputError


@dataclass(frozen=True)
class Rescale:
    """Slope and intercept of a slice."""

    slope: float
    intercept: float

    @property
    def whole(self) -> bool:
        """Whether every stored value becomes a whole number of HU."""
        return self.slope.is_integer() and self.intercept.is_integer()

    def to_hu(self, stored: np.ndarray) -> np.ndarray:
        """HU of stored values: int64 where whole, float32 otherwise.

        Raises:
            InputError: the slope is so small that float32 HU would not tell neighbouring stored values apart.
        """
        if self.whole:
            return stored.astype(np.int64) * int(self.slope) + int(self.intercept)
        hu = stored * self.slope + self.intercept
        rounding = np.abs(hu).max(initial=0) * np.finfo(np.float32).eps / 2
        if rounding > 0.45 * abs(self.slope):
            raise InputError(f"The RescaleSlope {self.slope:g} is too small to be one of HU; convert the values first.")
        return hu.astype(np.float32)

    def to_stored(self, hu: np.ndarray) -> np.ndarray:
        """Nearest stored values, int64."""
        if self.whole and np.issubdtype(hu.dtype, np.integer):
            offset = hu.astype(np.int64) - int(self.intercept)
            return offset if self.slope == 1 else np.rint(offset / self.slope).astype(np.int64)
        return np.rint((hu.astype(np.float64) - self.intercept) / self.slope).astype(np.int64)

    def finer(self) -> tuple[Rescale, int]:
        """The rescale to write, and by what stored values grow so that every HU stays exactly what it was.

        Steps of more than 1 HU would lose what a network changes. A whole slope becomes 1; another one is halved until it
        is 1 or less, which binary and decimal numbers hold exactly.
        """
        size = abs(self.slope)
        if size <= 1:
            return self, 1
        factor = int(size) if size.is_integer() else 2 ** math.ceil(math.log2(size))
        finer = Rescale(self.slope / factor, self.intercept)
        if float(finer.slope_text) != finer.slope:
            return self, 1
        return finer, factor

    @property
    def slope_text(self) -> str:
        """The slope as a DICOM decimal string, at most 16 characters."""
        return str(DSfloat(self.slope, auto_format=True))


def value_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Lowest and highest value of an integer of so many bits."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
