"""Records of what made an output, kept beside it: a resumed batch compares contents, not names.

One JSON file for every output, in a hidden folder of the batch's folder with the same layout. It says that the output is being
made, with the hashes of what it replaces and of what is put there, until it is in its place: what a killed try leaves is known by
its content, and anything else is not ours. Why the last try failed stands in a file of its own: a failure says nothing about what
lies in the output's place.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ...errors import OutputError
from ...system.durable import make_folders
from ...system.files import check_regular, replace_when_complete
from ...volumes.volume_file import told_as_input_error

FOLDER = ".ldctdenoise.batch"
_RECORD, _FAILURE = ".json", ".failed"
_BLOCK = 2**20
_Told = TypeVar("_Told", "Record", "Failure")
_Measure = TypeVar("_Measure")


@dataclass(frozen=True)
class Record:
    """What made an output.

    Attributes:
        input: sha256 of the input's content.
        model: sha256 of the model.
        options: everything else that the voxels depend on.
        software: version of this package.
        output: sha256 of the output's content; "" while it is being made.
        files: sha256 of each of the output's files, by name, "" for an output that is one file; none before they are made; while
            an output is put into a store, those of the one that it replaces are among them.
        replaced: while the output is being made, sha256 of what lies in its place, if that is ours.
        crashes: how often this input ended the process that read it.
        slices: how many were denoised.
        seconds: from the start of the reading to the end of the writing.
        seen: of an input in a store: what it tells without giving the content.
        published: of an output in a store: what the store tells of each of its parts.
    """

    input: str
    model: str
    options: dict[str, Any]
    software: str
    output: str = ""
    files: dict[str, str] = field(default_factory=dict)
    replaced: str = ""
    crashes: int = 0
    slices: int = 0
    seconds: float = 0.0
    seen: str = ""
    published: dict[str, str] = field(default_factory=dict)

    def made_as(self, other: Record) -> bool:
        """Whether both were, or will be, made from the same in the same way."""
        return (self.input, self.model, self.options, self.software) == (
            other.input,
            other.model,
            other.options,
            other.software,
        )


@dataclass(frozen=True)
class Failure:
    """Why the last try to make an output failed.

    Attributes:
        reason: as a sentence.
        code: of the error.
    """

    reason: str
    code: str


class Standing(Enum):
    """What an output's place holds."""

    NOTHING = "nothing"
    FINISHED = "finished"  # made as it would be made now, and not changed since
    OURS = "ours"  # made by a batch, of something else or with other options, or not to the end
    FOREIGN = "foreign"  # nobody knows what made it
    DAMAGED = "damaged"  # made by a batch, and since has lost files, or the content of some
    CHANGED = "changed"  # made by a batch, and changed by someone since


class RecordFiles(Protocol):
    """Where the files of records lie: a folder of this machine, or of a store."""

    def read(self, name: str) -> bytes | None:
        """Content of a file; None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that is not there is no failure."""


class RecordBook:
    """The records of a batch's folder, wherever it is.

    Args:
        files: where they lie.
    """

    def __init__(self, files: RecordFiles) -> None:
        self._files = files

    def write(self, output: Path, record: Record) -> None:
        """Keep a record, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        self._files.write(_name(output, _RECORD), _as_json(record))

    def read(self, output: Path) -> Record | None:
        """The record of an output; None if there is none."""
        return _from_json(self._files.read(_name(output, _RECORD)), Record)

    def put_back(self, output: Path, before: Record | None) -> None:
        """Let an output's record be what it was.

        Raises:
            OutputError: it cannot be written or removed.
        """
        if before is None:
            self._files.remove([_name(output, _RECORD)])
        else:
            self.write(output, before)

    def write_failure(self, output: Path, failure: Failure) -> None:
        """Keep why an output could not be made, beside the record of what lies in its place.

        Raises:
            OutputError: it cannot be written.
        """
        self._files.write(_name(output, _FAILURE), _as_json(failure))

    def failure(self, output: Path) -> Failure | None:
        """Why the last try to make an output failed; None if it did not."""
        return _from_json(self._files.read(_name(output, _FAILURE)), Failure)

    def forget_failure(self, output: Path) -> None:
        """The output is made.

        Raises:
            OutputError: the failure cannot be removed.
        """
        self._files.remove([_name(output, _FAILURE)])


class Records(RecordBook):
    """The records of a folder of this machine, and what lies in the places of its outputs.

    Args:
        folder: the batch's output folder; need not exist before something is written.
        is_damaged: whether a file that differs from what was written is one that nobody can read.
    """

    def __init__(self, folder: Path, is_damaged: Callable[[Path], bool]) -> None:
        super().__init__(_LocalFiles(folder))
        self._folder = folder
        self._is_damaged = is_damaged

    def standing(self, output: Path, wanted: Record) -> Standing:
        """What lies where an output would go.

        Args:
            output: relative to the batch's folder.
            wanted: what would make it now.
        """
        place = self._folder / output
        if not place.exists():
            return Standing.NOTHING
        record = self.read(output)
        if record is None:
            return Standing.FOREIGN
        found = hashes_of_output(place)
        content = _together(found.values())
        if content == record.replaced:
            return Standing.OURS
        if content != record.output:
            if self._lost_content(place, found, record):
                return Standing.DAMAGED
            return Standing.CHANGED if record.output else Standing.FOREIGN
        return Standing.FINISHED if record.made_as(wanted) else Standing.OURS

    def _lost_content(self, place: Path, found: dict[str, str], record: Record) -> bool:
        """Whether nothing lies there but what a batch wrote and what is left of it: making it again loses nothing."""
        return found.keys() <= record.files.keys() and all(
            digest == record.files[name] or self._is_damaged(place / name if name else place) for name, digest in found.items()
        )

    def remove_remains(self, output: Path) -> None:
        """Remove from a damaged output folder what is no image any more; the rest is replaced as a whole.

        Raises:
            OSError: it cannot be removed.
        """
        place, record = self._folder / output, self.read(output)
        if record is not None and place.is_dir():
            for name, digest in hashes_of_output(place).items():
                if digest != record.files[name]:
                    (place / name).unlink()


class _LocalFiles:
    """Files of records in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        path = self._folder / name
        try:
            return path.read_bytes() if path.is_file() else None  # opening a pipe would wait for ever
        except OSError:
            return None

    def write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        try:
            make_folders(path.parent)
        except OSError as error:
            raise OutputError(f"{path.parent} cannot be made ({error.strerror}); choose another output folder.") from error
        with replace_when_complete(path) as temporary:
            temporary.write_bytes(content)

    def remove(self, names: Iterable[str]) -> None:
        for path in (self._folder / name for name in names):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"{path} cannot be removed ({error.strerror}); remove it.") from error


def _name(output: Path, suffix: str) -> str:
    return (Path(FOLDER) / output.parent / f"{output.name}{suffix}").as_posix()


def _as_json(told: Record | Failure) -> bytes:
    return json.dumps(asdict(told), indent=1).encode()


def _from_json(content: bytes | None, kind: type[_Told]) -> _Told | None:
    try:
        return None if content is None else kind(**json.loads(content))
    except (ValueError, TypeError):  # not ours
        return None


def content_hash(files: Iterable[Path]) -> str:
    """sha256 of the content of some files, whatever their names and order.

    Raises:
        InputError: one of them cannot be read.
    """
    return _together(_of_each(_file_hash, files))


def finished(record: Record, place: Path) -> Record:
    """The record of an output that is made."""
    files = hashes_of_output(place)
    return replace(record, output=_together(files.values()), files=files, replaced="", crashes=0)


def hashes_of_output(place: Path) -> dict[str, str]:
    """sha256 of an output file, as "", or of the files of an output folder, by name."""
    if not place.is_dir():
        return {"": _file_hash(place)}
    return {path.relative_to(place).as_posix(): _file_hash(path) for path in place.rglob("*") if path.is_file()}


def hash_of_output(place: Path) -> str:
    """sha256 of the content of an output, as its record has it.

    Raises:
        OSError: it cannot be read.
    """
    return _together(hashes_of_output(place).values())


def _together(digests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _file_hash(path: Path) -> str:
    check_regular(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def states(files: Iterable[Path]) -> list[tuple[int, int]]:
    """Size and time of every file, to see whether one changed.

    Raises:
        InputError: one of them is gone.
    """
    return [(status.st_size, status.st_mtime_ns) for status in _of_each(os.stat, files)]


def _of_each(measure: Callable[[Path], _Measure], files: Iterable[Path]) -> Iterator[_Measure]:
    for path in files:
        with told_as_input_error(path):
            yield measure(path)
