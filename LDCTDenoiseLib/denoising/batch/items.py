"""What a batch has to do: every CT under a folder, or the rows of a CSV, each with the place of its output."""

from __future__ import annotations

import csv
import logging
import re
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from ...dicom.find_series import SeriesFiles, sort_into_series, tell_left_out
from ...dicom.source_files import Listing, list_folders
from ...errors import Code, InputError
from ...volumes.payload import find_payload
from ...volumes.volume_file import WRITABLE_SUFFIXES, volume_suffix
from ..one_file import Source

log = logging.getLogger(__name__)

_WRITTEN_AS = {".nhdr": ".nrrd", ".mhd": ".mha"}
"""Formats of two files are written as their sisters of one file."""


@dataclass(frozen=True)
class Item:
    """One thing to denoise.

    Attributes:
        source: a volume file, a DICOM folder, or the files of a series.
        output: where the result goes, relative to the batch's folder.
        problem: why it cannot be done, known before anything is read; "" when nothing is wrong.
        code: of the problem.
    """

    source: Source
    output: Path
    problem: str = ""
    code: Code = Code.INPUT

    @property
    def place(self) -> Path:
        """The file, or the folder that holds the series."""
        return place_of_source(self.source)


def place_of_source(source: Source) -> Path:
    """The file, or the folder that holds the series."""
    return source if isinstance(source, Path) else source.folder


def files_of_source(source: Source) -> list[Path]:
    """The files whose content makes an input.

    Raises:
        InputError: a header names a data file that cannot be used, or DICOM files cannot be understood.
    """
    if isinstance(source, SeriesFiles):
        return source.paths
    if source.is_file() and (suffix := volume_suffix(source)):
        return sorted({source, find_payload(source, suffix).path})
    if source.is_dir():
        return sorted(path for path in source.rglob("*") if path.is_file())
    return [source]


def find_items(source: Path, target: Path, *, force: bool = False, allow_missing: bool = False) -> list[Item]:
    """What there is to do, in the order of the sources. What is left out is logged as a warning.

    Args:
        source: a folder, searched with its sub-folders; or a CSV file with the columns ``input`` (relative to the CSV) and
            ``output`` (relative to ``target``).
        target: the batch's output folder; if it lies in ``source``, it is not searched.
        force: take series of other modalities, and of this program, too.
        allow_missing: leave out files that may be slices and cannot be read.

    Raises:
        InputError: the source is missing, empty of CT, or a CSV that cannot be understood.
    """
    if source.is_dir():
        items = _items_of_folder(source, target, force, allow_missing)
    elif source.is_file() and source.suffix.lower() == ".csv":
        items = _items_of_csv(source)
    else:
        raise InputError(f"{source} is neither a folder nor a CSV file; give one of them.")
    if not items:
        raise InputError(f"{source} holds no CT series and no volume file; give the folder that holds them.")
    return _refuse_clashes(items)


def _items_of_folder(source: Path, target: Path, force: bool, allow_missing: bool) -> list[Item]:
    if source.resolve() == target.resolve():
        raise InputError(f"Input and output are the same folder, {source}; choose another output folder.")
    output = target.resolve()
    listing = list_folders([source], left_out=lambda folder: folder.resolve() == output)
    items = [Item(path, _written_as(path.relative_to(source))) for path in listing.files if volume_suffix(path)]
    return sorted(items + _items_of_dicom(source, listing, force, allow_missing), key=lambda item: str(item.output))


def _items_of_dicom(source: Path, listing: Listing, force: bool, allow_missing: bool) -> list[Item]:
    found = sort_into_series(listing, [path for path in listing.files if not volume_suffix(path)])
    known = {path for one in found.series for path in one.damaged}
    tell_left_out(found, [path for path in found.damaged if path not in known] if allow_missing else [])
    damaged = {} if allow_missing else found.damaged
    series = []
    for one in found.series:
        if force or (one.modality == "CT" and not one.derived):
            series.append(one)
        else:
            what = "was denoised by this program already" if one.derived else f"is {one.modality}"
            log.warning("Left out: a series in %s, which %s.", one.folder, what)
    folders = [one.folder for one in series]
    occupied = folders + [path.parent for path in listing.files if volume_suffix(path)]
    items = []
    for one, folder in zip(series, folders, strict=True):
        inside = folder.relative_to(source)
        # A folder of one series becomes a folder of one series; where there are more, each gets its own.
        shared = folder == source or sum(other.is_relative_to(folder) for other in occupied) > 1
        parents = {path.parent for path in one.paths}
        problem = next((sentence for path, sentence in damaged.items() if path.parent in parents), "")
        items.append(Item(one, inside / _folder_name(one.uid) if shared else inside, problem, Code.UNREADABLE))
    told = {path for one in series for path in damaged if path.parent in {file.parent for file in one.paths}}
    alone = ((path, sentence) for path, sentence in damaged.items() if path not in told)
    return items + [Item(path, path.relative_to(source), sentence, Code.UNREADABLE) for path, sentence in alone]


def _folder_name(uid: str) -> str:
    """A UID as a name: it comes from a file, and could hold a path."""
    return uid if re.fullmatch(r"[0-9][0-9.]{0,63}", uid) else "series"


def _written_as(path: Path) -> Path:
    suffix = volume_suffix(path) or ""
    written = _WRITTEN_AS.get(suffix)
    return path.with_name(path.name[: -len(suffix)] + written) if written else path


def _items_of_csv(source: Path) -> list[Item]:
    try:
        with source.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
            columns = set(rows[0]) if rows else set()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{source.name} cannot be read as CSV ({error}); save it as UTF-8 text with commas.") from error
    if rows and not {"input", "output"} <= columns:
        raise InputError(f"{source.name} lacks a column: it needs 'input' and 'output' in its first line.")
    items = []
    for number, row in enumerate(rows, start=2):
        given, output = (row["input"] or "").strip(), (row["output"] or "").strip()
        if not given or not output:
            raise InputError(f"Line {number} of {source.name} lacks its input or its output; complete it.")
        items.append(_item_of_row(source.parent / given, Path(output)))
    return items


def _item_of_row(source: Path, output: Path) -> Item:
    problem = ""
    if output.is_absolute() or ".." in output.parts or output == Path():
        problem = "The output lies outside the batch's folder; give it relative to that folder."
    elif not source.exists():
        problem = f"{source} does not exist; correct the CSV."
    elif volume_suffix(source) and volume_suffix(output) not in WRITABLE_SUFFIXES:
        problem = f"The output {output.name} must be a volume file: {', '.join(WRITABLE_SUFFIXES)}."
    return Item(source, output, problem)


def _refuse_clashes(items: list[Item]) -> list[Item]:
    """Items of which only one can have its output, with the reason why not."""
    counts = Counter(item.output for item in items)
    around = {parent for item in items for parent in item.output.parents}
    checked = []
    for item in items:
        problem = item.problem
        if not problem and counts[item.output] > 1:
            problem = f"Another input has the same output, {item.output}; rename one, or give a CSV."
        elif not problem and item.output in around:
            problem = f"Another output would lie within this one, {item.output}; rename one, or give a CSV."
        checked.append(replace(item, problem=problem, code=item.code if item.problem else Code.INPUT))
    return checked
