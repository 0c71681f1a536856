"""Normal-dose scans to adapt to: some slices to train on, some held back to judge by."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..ct.evenly_spread import evenly_spread
from ..ct.hu_check import check_ct
from ..ct.scan import Scan, Vector
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
        study: its StudyInstanceUID; "" where there is none.
    """

    name: str
    train: tuple[Scan, ...]
    held_back: Scan
    study: str = ""


def find_scans(source: Path) -> list[SplitScan]:
    """Scans of a volume file, a DICOM series or a folder of either, each split.

    What one reconstruction of a body is judged by, no other one is trained on.

    Raises:
        InputError: there is none, one holds NaN, is not in HU or has too few slices.
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
        uid, study = (item.source.uid, item.source.study) if isinstance(item.source, SeriesFiles) else (None, "")
        scan = _split(item.place.name, read_volume(item.place, series=uid), max(FEWEST_SLICES, MOST_SLICES // len(chosen)))
        scans.append(replace(scan, study=study))
    return _apart(scans)


def _split(name: str, scan: Scan, most: int) -> SplitScan:
    check_ct(scan.hu, scan.padding)
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


def _apart(scans: Sequence[SplitScan]) -> list[SplitScan]:
    """The scans without slices to train on that show what another is judged by; who has no others left is left out."""
    chosen: list[SplitScan] = []
    for scan in scans:
        candidates = [*chosen, scan]
        apart = [replace(one, train=_not_judged(one, candidates)) for one in candidates]
        if all(one.train for one in apart):
            chosen = apart
        else:
            log.warning("Left out: %s, for it lies where another scan of the same body is trained on or judged.", scan.name)
    return chosen


def _not_judged(scan: SplitScan, scans: Sequence[SplitScan]) -> tuple[Scan, ...]:
    """The parts to train on without the slices that lie in another's held-back part, or a slice from it."""
    judged = [other.held_back for other in scans if other is not scan and _of_one_body(scan, other)]
    parts = []
    for part in scan.train:
        free = [n for n in range(len(part.hu)) if not any(_reaches(part, n, held) for held in judged)]
        runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1) if free else []
        parts += [part.part(int(run[0]), int(run[-1]) + 1) for run in runs]
    return tuple(parts)


def _of_one_body(one: SplitScan, other: SplitScan) -> bool:
    """Whether two scans may show the same: of one study; or, where files tell no study, about the same axis."""
    if one.study and other.study:
        return one.study == other.study
    geometry = one.held_back.geometry
    shift = np.subtract(_centre(other.held_back), _centre(one.held_back)) @ np.array(geometry.directions[1:]).T
    return bool((np.abs(shift) < np.array(geometry.spacing[1:]) / 2).all())


def _centre(scan: Scan) -> Vector:
    """LPS of the middle of the first slice."""
    _, rows, columns = scan.hu.shape
    return scan.geometry.place_of((0, (rows - 1) / 2, (columns - 1) / 2))


def _reaches(scan: Scan, number: int, held_back: Scan) -> bool:
    """Whether a slice lies in a held-back part of another scan or beside it, however the two are turned."""
    _, rows, columns = scan.hu.shape
    corners = [scan.geometry.place_of((number, row, column)) for row in (0, rows - 1) for column in (0, columns - 1)]
    geometry = held_back.geometry
    along = np.subtract(corners, geometry.origin) @ np.array(geometry.directions[0])
    length = (len(held_back.hu) - 1) * geometry.spacing[0]
    distance = 0.99 * (scan.geometry.spacing[0] + geometry.spacing[0])  # places are rounded
    return bool(along.max() > -distance and along.min() < length + distance)
