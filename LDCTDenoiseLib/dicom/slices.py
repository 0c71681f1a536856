"""One slice of a CT: its header, its place in the patient, and how its stored values become HU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from ..errors import Code, InputError
from .read_file import damage_in
from .rescale import Rescale, value_range

_NUMBERS_NEEDED = {
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "PixelSpacing": 2,
    **dict.fromkeys(("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"), 1),
}
OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
_LARGEST_RESCALE = 2**30
"""With it, HU of stored values of 32 bits still fit 64, in which they are computed."""
PADDING_TAGS = ("PixelPaddingValue", "PixelPaddingRangeLimit")


@dataclass(frozen=True, eq=False)
class Slice:
    """A slice without its pixels.

    Attributes:
        header: as of a single-frame CT image. Shared with others: copy before a change.
        path: the file it is in.
        frame: its place in a multi-frame file, from 0; None for a single-frame one.
        source_class: SOPClassUID of the file.
        position: (3,) of the centre of the first voxel, mm.
        across, down: (3,) unit vectors along a row and along a column.
        spacing: (rows, columns), mm.
        rescale: from stored values to HU.
        padding: lowest and highest stored value of padding, or None.
    """

    header: Dataset
    path: Path
    frame: int | None
    source_class: str
    position: np.ndarray
    across: np.ndarray
    down: np.ndarray
    spacing: tuple[float, float]
    rescale: Rescale
    padding: tuple[int, int] | None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return int(self.header.Rows), int(self.header.Columns)

    @property
    def signed(self) -> bool:
        """Whether stored values are signed (PixelRepresentation)."""
        return int(self.header.PixelRepresentation) == 1

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slice, patient coordinates (LPS)."""
        return np.cross(self.across, self.down)

    @property
    def unused_bits(self) -> bool:
        """Whether bits above BitsStored hold nothing; a padding value that needs them says that they do."""
        low, high = value_range(int(self.header.BitsStored), signed=self.signed)
        return self.padding is None or (low <= self.padding[0] and self.padding[1] <= high)

    @property
    def overlay_bits(self) -> int:
        """Mask of the bits of a pixel in which overlays lie (PS3.3 C.9.2)."""
        used, stored = int(self.header.BitsAllocated), int(self.header.BitsStored)
        positions = (self.header.get((group, 0x0102)) for group in OVERLAY_GROUPS if (group, 0x3000) not in self.header)
        return sum(1 << bit for bit in {int(one.value or 0) for one in positions if one is not None} if stored <= bit < used)

    def without_overlays(self, stored: np.ndarray) -> np.ndarray:
        """Pixels of which all bits were read, without what overlays put into them.

        Padding that needs bits above BitsStored is known by those of them that no overlay uses, and keeps its value.

        Args:
            stored: any shape, of the header's type.
        """
        overlays = self.overlay_bits
        if not overlays or self.unused_bits or self.padding is None:
            return stored
        bits, used = int(self.header.BitsAllocated), int(self.header.BitsStored)
        low, high = value_range(used, signed=self.signed)
        words = stored.view(f"u{bits // 8}").astype(np.int64)
        values = words & (2**used - 1)
        values = np.where(values > high, values - 2**used, values)  # the sign, where there is one
        for value in self.padding:
            pattern = value & (2**bits - 1) & ~overlays
            if not low <= value <= high and pattern >> used:
                values = np.where(words & ~overlays == pattern, value, values)
        return values.astype(stored.dtype)


def read_slice(
    header: Dataset, path: Path, frame: int | None = None, *, source_class: str | None = None, force: bool = False
) -> Slice:
    """What a single-frame header says of its slice.

    Args:
        header: without pixels.
        path: of the file, for messages.
        frame: its place in a multi-frame file.
        source_class: SOPClassUID of the file, where the header has another.
        force: take values without a rescale for HU.

    Raises:
        InputError: the header lacks what a CT slice needs, or its values are not HU.
    """
    with damage_in(path):
        lacking = next((tag for tag, count in _NUMBERS_NEEDED.items() if _how_many_numbers(header.get(tag)) != count), None)
        if lacking:
            raise InputError(f"{path.name} lacks {lacking}, without which a CT slice has no place or no HU; leave it out.")
        stored, highest = int(header.BitsStored), header.get("HighBit")
        if highest is not None and int(highest) != stored - 1:
            raise InputError(
                f"{path.name} has HighBit {int(highest)} and BitsStored {stored}: its values lie elsewhere in their words than "
                "DICOM has them; convert it with another program."
            )
        rescale = _rescale(header, path, force=force)
        orientation = np.array(header.ImageOrientationPatient, float)
        across, down = orientation[:3], orientation[3:]
        spacing = (float(header.PixelSpacing[0]), float(header.PixelSpacing[1]))
        position = np.array(header.ImagePositionPatient, float)
        if not (np.isfinite([*position, *orientation, *spacing]).all() and min(spacing) > 0 and _orthonormal(across, down)):
            raise InputError(f"{path.name} has a place or spacing that is impossible; get the file again, or leave it out.")
        kind = source_class or str(header.get("SOPClassUID") or "")
        return Slice(header, path, frame, kind, position, across, down, spacing, rescale, _padding(header))


def _rescale(header: Dataset, path: Path, *, force: bool) -> Rescale:
    kind = str(header.get("RescaleType") or "HU").strip().upper()
    if kind != "HU" and not force:
        raise InputError(f"{path.name} has the RescaleType {kind} and not HU.", Code.NOT_CT)
    for tag in ("RescaleSlope", "RescaleIntercept"):
        if _how_many_numbers(header.get(tag)) != 1:
            if force and header.get(tag) is None:
                return Rescale(1.0, 0.0)
            raise InputError(f"{path.name} lacks {tag}, without which a CT slice has no place or no HU; leave it out.")
    rescale = Rescale(float(header.RescaleSlope), float(header.RescaleIntercept))
    if rescale.slope == 0 or not (math.isfinite(rescale.slope) and math.isfinite(rescale.intercept)):
        raise InputError(f"{path.name} has a RescaleSlope of 0 or a rescale that is not a number; leave it out.")
    if max(abs(rescale.slope), abs(rescale.intercept)) > _LARGEST_RESCALE:
        raise InputError(f"{path.name} has values of more than 32 bits in HU; its rescale is damaged.")
    return rescale


def _padding(header: Dataset) -> tuple[int, int] | None:
    if header.get("PixelPaddingValue") is None:
        return None
    values = [header.get(tag) for tag in PADDING_TAGS]
    stored = [padding_as_stored(header, int(value)) for value in values if value is not None]
    return min(stored), max(stored)


def padding_as_stored(header: Dataset, value: int) -> int:
    """A padding value as pixels hold it: scanners write a negative one as unsigned, and some the other way round."""
    bits = int(header.BitsAllocated)
    if header.PixelRepresentation == 1 and value >= 2 ** (bits - 1):
        return value - 2**bits
    if header.PixelRepresentation == 0 and value < 0:
        return value + 2**bits
    return value


def _orthonormal(across: np.ndarray, down: np.ndarray) -> bool:
    return np.allclose([across @ across, down @ down, across @ down], [1, 1, 0], atol=0.01)


def _how_many_numbers(value: object) -> int:
    return 0 if value is None else np.array(value, float).size
