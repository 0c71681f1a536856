"""What a batch has to do: every CT under a folder, or the rows of a CSV, each with the place of its output.

A CSV is read row by row, each time anew: a million rows take no more memory than a hash of eight bytes for each.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import TextIO

import numpy as np

from ...dicom.find_series import SeriesFiles, is_uid, sort_into_series, tell_left_out
from ...dicom.source_files import Listing, list_folders
from ...errors import Code, InputError
from ...stores.address import Address, is_address
from ...stores.dicomweb import DicomwebServer
from ...stores.objects import ObjectFolder, location
from ...system.files import check_apart, is_there
from ...volumes.payload import find_payload
from ...volumes.volume_file import WRITABLE_SUFFIXES, told_as_input_error, volume_suffix
from ..one_file import Source
from .records import FOLDER
from .stored_sources import StoredSource, Studies, find_stored, server_and_name, stored_sources

log = logging.getLogger(__name__)

_WRITTEN_AS = {".nhdr": ".nrrd", ".mhd": ".mha"}
"""Formats of two files are written as their sisters of one file."""


@dataclass(frozen=True)
class Item:
    """One thing to denoise.

    Attributes:
        source: a volume file, a DICOM folder, the files of a series, or what lies in a store.
        output: where the result goes, relative to the batch's folder; with ``server``, only its name in the records.
        problem: why it cannot be done, known before anything is read; "" when nothing is wrong.
        code: of the problem.
        server: where the result is stored instead, if anywhere.
    """

    source: Source | StoredSource
    output: Path
    problem: str = ""
    code: Code = Code.INPUT
    server: DicomwebServer | None = None

    @property
    def place(self) -> Path | Address:
        """The file, or the folder that holds the series."""
        return place_of_source(self.source) if isinstance(self.source, (Path, SeriesFiles)) else self.source.address


def place_of_source(source: Source) -> Path:
    """The file, or the folder that holds the series."""
    return source if isinstance(source, Path) else source.folder


def files_of_source(source: Source) -> list[Path]:
    """The files whose content makes an input.

    Raises:
        InputError: a volume file cannot be read, a header names a data file that cannot be used, or DICOM files cannot be
            understood.
    """
    if isinstance(source, SeriesFiles):
        return source.paths
    if source.is_file() and (suffix := volume_suffix(source)):
        with told_as_input_error(source):
            return sorted({source, find_payload(source, suffix).path})
    if source.is_dir():
        return [path for path in list_folders([source]).files if path.is_file()]
    return [source]


@dataclass(frozen=True)
class Shard:
    """One of several parts of a list, each done by a process of its own.

    Attributes:
        number: which, from 0.
        count: how many there are.
    """

    number: int
    count: int

    def holds(self, output: Path) -> bool:
        """Whether an item is of this part: each is of exactly one, by its output's name alone."""
        return name_hash(output.as_posix()) % self.count == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def _no_problem(item: Item) -> str:
    return ""


class Items:
    """What there is to do, in the order of the sources. Each iteration gives it anew.

    Args:
        read: gives all items, in the same order each time.
        target: the batch's folder.
        shard: which of them to take; None is all.
        check: says why an item cannot be done, or ""; asked only when it is its turn.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[Item]],
        target: Path | Address,
        shard: Shard | None = None,
        check: Callable[[Item], str] = _no_problem,
    ) -> None:
        self._read = read
        self._target = target
        self._shard = shard
        self._check = check
        self._count = 0
        outputs, parents = _Hashes(), _Hashes()
        inputs, written = _Hashes(), _Hashes()
        folder = ""
        around: tuple[PurePath, ...] = ()
        whole = _known_location(target)
        for item in read():
            name = item.output.as_posix()
            outputs.add(name_hash(name))
            self._count += shard is None or shard.holds(item.output)
            before, folder = folder, name.rpartition("/")[0]
            above = folder
            while above and above != before:  # the folders of the item before are known
                parents.add(name_hash(above))
                above = above.rpartition("/")[0]
            given = _known_location(item.place)
            if given != whole and given not in whole.parents:  # all outputs lie in such a one, and none takes its place
                inputs.add(name_hash(str(given)))
            place = self._place_of_output(item)
            written.add(name_hash(str(place)))
            for one in place.parents:
                if one in around:  # known, as above
                    break
                written.add(name_hash(str(one)))
            around = tuple(place.parents)
        self._inputs = inputs.found_in(written)
        self._twice = outputs.found_twice()
        self._around = outputs.found_in(parents)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        for item in self._read():
            if self._shard is None or self._shard.holds(item.output):
                yield self._checked(item)

    def _checked(self, item: Item) -> Item:
        """An item, with the reason why not where it cannot be done or cannot have its output beside others."""
        if item.problem:
            return item
        key = name_hash(item.output.as_posix())
        problem = self._check(item)
        if not problem and key in self._twice:
            problem = f"Another input has the same output, {item.output}; rename one, or give a CSV."
        elif not problem and self._is_in_an_input(item):
            problem = (
                f"The output {item.output} is an input of this batch or lies in one, and the input would be lost; rename it."
            )
        elif not problem and key in self._around:
            problem = f"Another output would lie within this one, {item.output}; rename one, or give a CSV."
        return replace(item, problem=problem, code=Code.INPUT) if problem else item

    def _is_in_an_input(self, item: Item) -> bool:
        if not self._inputs or item.server is not None:
            return False
        place = self._place_of_output(item)
        return any(name_hash(str(one)) in self._inputs for one in (place, *place.parents))

    def _place_of_output(self, item: Item) -> PurePath:
        return _known_location(self._target / item.output.as_posix())


def _known_location(place: Path | Address) -> PurePath:
    """As :func:`location`; a place that nothing can lie in is its own, and is refused when it is its turn."""
    try:
        return location(place)
    except (OSError, ValueError, RuntimeError):
        return PurePath(str(place))


class _Hashes:
    """Hashes of many names, in eight bytes each."""

    def __init__(self) -> None:
        self._hashes = array("Q")

    def add(self, one: int) -> None:
        self._hashes.append(one)

    def _sorted(self) -> np.ndarray:
        hashes = np.frombuffer(self._hashes, np.uint64)
        hashes.sort()  # in place: a copy would double the memory
        return hashes

    def found_twice(self) -> frozenset[int]:
        hashes = self._sorted()
        return frozenset(hashes[1:][hashes[1:] == hashes[:-1]].tolist())

    def found_in(self, others: _Hashes) -> frozenset[int]:
        hashes, found = self._sorted(), set[int]()
        if not len(hashes):
            return frozenset(found)
        for start in range(0, len(others._hashes), _HASHES_AT_ONCE):
            part = np.array(others._hashes[start : start + _HASHES_AT_ONCE], np.uint64)
            where = np.minimum(np.searchsorted(hashes, part), len(hashes) - 1)
            found.update(part[hashes[where] == part].tolist())
        return frozenset(found)


_HASHES_AT_ONCE = 2**17


def name_hash(name: str) -> int:
    """64 bits of a name, the same on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")


def find_items(
    source: Path | Address,
    target: Path | Address,
    *,
    force: bool = False,
    allow_missing: bool = False,
    shard: Shard | None = None,
) -> Items:
    """What there is to do. What is left out is logged as a warning.

    Args:
        source: a folder, searched with its sub-folders; or a CSV file with the columns ``input`` (relative to the CSV, or an
            address) and ``output`` (relative to ``target``, or the address of a DICOMweb server).
        target: the batch's output folder; if it lies in ``source``, it is not searched, nor is one of an earlier batch.
        force: take series of other modalities, and of this program, too.
        allow_missing: leave out files that may be slices and cannot be read.
        shard: the part to take; None is all.

    Raises:
        InputError: the source is missing, empty of CT, or a CSV that cannot be understood.
        MissingExtraError: the package for an address is not installed.
    """
    check: Callable[[Item], str] = _no_problem
    if source.name.lower().endswith(".csv") and (isinstance(source, Address) or source.is_file()):
        read: Callable[[], Iterator[Item]] = partial(_items_of_csv, source, Studies())
        check = _problem_of_row
    elif isinstance(source, Address):
        stored = find_stored(source, target)
        read = partial(iter, [Item(one, _written_as(output)) for output, one in sorted(stored.items())])
    elif source.is_dir():
        read = partial(iter, _items_of_folder(source, target, force, allow_missing))
    else:
        raise InputError(f"{source} is neither a folder nor a CSV file; give one of them.")
    if next(read(), None) is None:
        raise InputError(f"{source} holds no CT series and no volume file; give the folder that holds them.")
    return Items(read, target, shard, check)


def _items_of_folder(source: Path, target: Path | Address, force: bool, allow_missing: bool) -> list[Item]:
    if isinstance(target, Path):
        check_apart(source, target)
    output = location(target)
    earlier: list[Path] = []

    def is_output(folder: Path) -> bool:
        if folder.resolve() == output:
            return True
        with suppress(OSError):  # a folder that may not be entered is told of by who lists it
            if (folder / FOLDER).is_dir():
                earlier.append(folder)
                return True
        return False

    listing = list_folders([source], left_out=is_output)
    if earlier:
        log.warning("Left out: what earlier batches wrote, in %s.", ", ".join(map(str, earlier)))
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
    within = Counter(parent for folder in occupied for parent in (folder, *folder.parents))
    items = []
    for one, folder in zip(series, folders, strict=True):
        inside = folder.relative_to(source)
        # A folder of one series becomes a folder of one series; where there are more, each gets its own.
        shared = folder == source or within[folder] > 1
        parents = {path.parent for path in one.paths}
        problem = next((sentence for path, sentence in damaged.items() if path.parent in parents), "")
        items.append(Item(one, inside / _folder_name(one.uid) if shared else inside, problem, Code.UNREADABLE))
    told = {path for one in series for path in damaged if path.parent in {file.parent for file in one.paths}}
    alone = ((path, sentence) for path, sentence in damaged.items() if path not in told)
    return items + [Item(path, path.relative_to(source), sentence, Code.UNREADABLE) for path, sentence in alone]


def _folder_name(uid: str) -> str:
    """A UID as a name: it comes from a file, and could hold a path."""
    return uid if is_uid(uid) else "series"


def _written_as(path: Path) -> Path:
    suffix = volume_suffix(path) or ""
    written = _WRITTEN_AS.get(suffix)
    return path.with_name(path.name[: -len(suffix)] + written) if written else path


def _items_of_csv(source: Path | Address, studies: Studies) -> Iterator[Item]:
    try:
        with _open_csv(source) as file:
            yield from _items_of_rows(source, file, studies)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{source.name} cannot be read as CSV ({error}); save it as UTF-8 text with commas.") from error


def _open_csv(source: Path | Address) -> TextIO:
    if isinstance(source, Path):
        return source.open(newline="", encoding="utf-8-sig")
    content = ObjectFolder(source.parent).read(source.name)
    if content is None:
        raise InputError(f"{source} is not there; correct the address.")
    return io.StringIO(content.decode("utf-8-sig"), newline="")


def _items_of_rows(source: Path | Address, file: TextIO, studies: Studies) -> Iterator[Item]:
    rows = csv.DictReader(file)
    for number, row in enumerate(rows, start=2):
        if number == 2 and not {"input", "output"} <= row.keys():
            raise InputError(f"{source.name} lacks a column: it needs 'input' and 'output' in its first line.")
        given, output = (row["input"] or "").strip(), (row["output"] or "").strip()
        if not given or not output:
            raise InputError(f"Line {number} of {source.name} lacks its input or its output; complete it.")
        try:
            yield from _items_of_row(source.parent, given, output, studies)
        except InputError as error:
            raise InputError(f"Line {number} of {source.name}: {error}", error.code) from error


def _items_of_row(folder: Path | Address, given: str, output: str, studies: Studies) -> Iterator[Item]:
    """One, or one for each CT series of a study on a DICOMweb server.

    Raises:
        InputError: an address cannot be understood.
    """
    where = Address(given) if is_address(given) else folder / given
    sources: Sequence[tuple[Source | StoredSource, str]] = [(where, "")] if isinstance(where, Path) else []
    problem = ""
    if isinstance(where, Address):
        sources, problem = stored_sources(where, studies)
    for one, inside in sources:
        if is_address(output):
            server, name = server_and_name(Address(output), one, given)
            yield Item(one, name, problem, server=server)
        else:
            yield Item(one, Path(output) / inside, problem)


def _problem_of_row(item: Item) -> str:
    if item.output.is_absolute() or ".." in item.output.parts or item.output == Path():
        return "The output lies outside the batch's folder; give it relative to that folder."
    if "\0" in str(item.output):
        return "The output's name holds a zero byte, which no file's may; correct the CSV."
    try:
        if isinstance(item.place, Path) and not is_there(item.place):
            return f"{item.place} does not exist; correct the CSV."
    except InputError as error:
        return str(error)
    if item.server is not None and volume_suffix(item.place.name):
        return f"{item.place.name} is no DICOM, which alone a DICOMweb server takes; give a path as its output."
    if item.server is None and volume_suffix(item.place.name) and volume_suffix(item.output) not in WRITABLE_SUFFIXES:
        return f"The output {item.output.name} must be a volume file: {', '.join(WRITABLE_SUFFIXES)}."
    return ""
