"""The CSV that says which volumes are the low and the normal dose of which patient, and in which split that patient is.

Columns ``patient,low,full,split``. ``low`` and ``full`` are volume files or DICOM folders, relative to the CSV; a folder that
holds several series is followed by ``#`` and the SeriesInstanceUID. An empty ``low`` asks for noise insertion.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..system.files import replace_when_complete

SPLITS = ("train", "validate", "test")
CSV_COLUMNS = ("patient", "low", "full", "split")
_SERIES = re.compile(r"#(\d+(?:\.\d+)+)$")


@dataclass(frozen=True)
class Source:
    """Where a volume is.

    Attributes:
        path: a volume file, or a folder of DICOM files.
        series: SeriesInstanceUID, when the folder holds several series.
    """

    path: Path
    series: str | None = None

    def __str__(self) -> str:
        return f"{self.path}#{self.series}" if self.series else str(self.path)


@dataclass(frozen=True)
class Pair:
    """One line of the CSV.

    Attributes:
        patient: who; all lines of a patient are in one split.
        low: the low dose, or None where it is to be simulated.
        full: the normal dose.
        split: "train", "validate" or "test".
    """

    patient: str
    low: Source | None
    full: Source
    split: str


def read_pairs(path: Path) -> list[Pair]:
    """The lines of a CSV of pairs.

    Raises:
        InputError: it cannot be read, lacks a column or a value, is empty, or has a patient in two splits.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            columns = [name.strip() for name in reader.fieldnames or ()]
            if set(columns) != set(CSV_COLUMNS):
                raise InputError(f"{path.name} must have the columns {','.join(CSV_COLUMNS)}, not {','.join(columns)}.")
            reader.fieldnames = columns
            pairs = [_pair(path, reader.line_num, record) for record in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The CSV of pairs {path} cannot be read ({error}); give one with {','.join(CSV_COLUMNS)}.") from error
    if not pairs:
        raise InputError(f"{path.name} lists no pair; fill it with `ldctdenoise data index`, or by hand.")
    check_splits(pairs)
    return pairs


def _pair(path: Path, line: int, record: dict[str, str]) -> Pair:
    patient, low, full, split = (record[name].strip() for name in CSV_COLUMNS)
    if split not in SPLITS or not full or not patient:
        raise InputError(f"{path.name}, line {line}: patient and full must be given and split be one of {', '.join(SPLITS)}.")
    return Pair(patient, _source(path.parent, low) if low else None, _source(path.parent, full), split)


def _source(folder: Path, text: str) -> Source:
    series = _SERIES.search(text)
    return Source(folder / text[: series.start()], series[1]) if series else Source(folder / text)


def path_in_csv(source: Source, csv: Path) -> str:
    """A source as the CSV that it was read from names it."""
    folder = csv.parent
    path = source.path.relative_to(folder) if source.path.is_relative_to(folder) else source.path
    return str(Source(path, source.series))


def check_splits(pairs: Sequence[Pair]) -> None:
    """Make sure that no patient is in two splits.

    Raises:
        InputError: one is.
    """
    split_of: dict[str, str] = {}
    for pair in pairs:
        if split_of.setdefault(pair.patient, pair.split) != pair.split:
            raise InputError(
                f"Patient {pair.patient} is in two splits, {split_of[pair.patient]} and {pair.split}; keep it in one."
            )


def write_pairs(pairs: Sequence[Pair], path: Path) -> None:
    """Write a CSV of pairs, whole or not at all, with paths relative to it."""
    folder = path.parent.absolute()
    with replace_when_complete(path, ".csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for pair in pairs:
            low, full = (_relative(source, folder) for source in (pair.low, pair.full))
            writer.writerow([pair.patient, low, full, pair.split])


def _relative(source: Source | None, folder: Path) -> str:
    if source is None:
        return ""
    path = source.path.absolute()
    # Out of a linked folder ".." leads to the real one's parent.
    relative = path.relative_to(folder) if path.is_relative_to(folder) else Path(os.path.relpath(path, folder.resolve()))
    return str(Source(Path(relative.as_posix()), source.series))
