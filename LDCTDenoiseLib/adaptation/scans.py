"""Normal-dose scans to adapt to: some slices to train on, some held back to judge by."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from ..ct.evenly_spread import evenly_spread
from ..ct.hu_check import check_hu
from ..ct.scan import Scan
from ..denoising.batch.items import find_items
from ..dicom.find_series import SeriesFiles
from ..errors import InputError, counted
from ..volumes.volume_file import read_volume

log = logging.getLogger(__name__)

MOST_SCANS = 12
MOST_SLICES = 96
"""Of all scans together: more take longer to prepare than they are worth in a short training."""
FEWEST_SLICES = 6
HELD_BACK = 4
"""One slice of so many is held back, in one block in the middle of a scan."""


@dataclass(frozen=True)
class SplitScan:
    """A scan in parts; a slice between two parts belongs to neither, for neighbours look alike.

    Attributes:
        name: of its file or folder.
        train: parts to train on.
        held_back: part to judge by.
    """

    name: str
    train: tuple[Scan, ...]
    held_back: Scan


def find_scans(source: Path) -> list[SplitScan]:
    """Scans of a volume file, a DICOM series or a folder of either, each split.

    Raises:
        InputError: there is none, one is not in HU, or one has too few slices.
    """
    if source.is_file() and source.suffix.lower() != ".csv":
        return [_split(source.name, read_volume(source), MOST_SLICES)]
    items = list(find_items(source, source / "none"))
    chosen = [items[n] for n in evenly_spread(len(items), MOST_SCANS)]
    if len(chosen) < len(items):
        log.info("Of %d scans, %d are used.", len(items), len(chosen))
    scans = []
    for item in chosen:
        if item.problem:
            raise InputError(item.problem, item.code)
        uid = item.source.uid if isinstance(item.source, SeriesFiles) else None
        scans.append(_split(item.place.name, read_volume(item.place, series=uid), max(FEWEST_SLICES, MOST_SLICES // len(chosen))))
    return scans


def _split(name: str, scan: Scan, most: int) -> SplitScan:
    check_hu(scan.hu, scan.padding)
    count = len(scan.hu)
    if count < FEWEST_SLICES:
        raise InputError(
            f"{name} has {counted(count, 'slice')}; to train on some and judge by others takes at least {FEWEST_SLICES}."
        )
    if count > most:
        first = (count - most) // 2
        scan, count = scan.part(first, first + most), most
    held = max(1, count // HELD_BACK)
    first = (count - held) // 2
    parts = scan.part(0, first - 1), scan.part(first + held + 1, count)
    return SplitScan(name, parts, scan.part(first, first + held))
