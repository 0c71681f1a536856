"""Records of what made an output, kept beside it: a resumed batch compares contents, not names.

One JSON file for every output, in a hidden folder of the batch's folder with the same layout. It is written twice: before the
work, without the output's hash, which says that whatever appears there is ours; and after it, with the hash. Why the last try
failed stands in a file of its own: a failure says nothing about what lies in the output's place.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from ...errors import OutputError
from ...system.durable import make_folders
from ...system.files import check_regular, replace_when_complete
from ...system.locks import Lock, try_lock

FOLDER = ".ldctdenoise.batch"
_RECORD, _FAILURE = ".json", ".failed"
_BLOCK = 2**20
_Told = TypeVar("_Told", "Record", "Failure")


@dataclass(frozen=True)
class Record:
    """What made an output.

    Attributes:
        input: sha256 of the input's content.
        model: sha256 of the model.
        options: everything else that the voxels depend on.
        software: version of this package.
        output: sha256 of the output's content; "" while it is being made.
        files: sha256 of each of the output's files, by name, "" for an output that is one file.
        crashes: how often this input ended the process that read it.
        slices: how many were denoised.
        seconds: from the start of the reading to the end of the writing.
    """

    input: str
    model: str
    options: dict[str, Any]
    software: str
    output: str = ""
    files: dict[str, str] = field(default_factory=dict)
    crashes: int = 0
    slices: int = 0
    seconds: float = 0.0

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


class Records:
    """The records of a batch's folder.

    Args:
        folder: the batch's output folder; need not exist before something is written.
        is_damaged: whether a file that differs from what was written is one that nobody can read.
    """

    def __init__(self, folder: Path, is_damaged: Callable[[Path], bool]) -> None:
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
        if not record.output:
            return Standing.OURS
        found = hashes_of_output(place)
        if record.output != _together(found.values()):
            return Standing.DAMAGED if self._lost_content(place, found, record) else Standing.CHANGED
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

    def write(self, output: Path, record: Record) -> None:
        """Keep a record, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        _write_json(self._path(output), record)

    def read(self, output: Path) -> Record | None:
        """The record of an output; None if there is none."""
        return _read_json(self._path(output), Record)

    def write_failure(self, output: Path, failure: Failure) -> None:
        """Keep why an output could not be made, beside the record of what lies in its place.

        Raises:
            OutputError: it cannot be written.
        """
        _write_json(self._path(output, _FAILURE), failure)

    def failure(self, output: Path) -> Failure | None:
        """Why the last try to make an output failed; None if it did not."""
        return _read_json(self._path(output, _FAILURE), Failure)

    def forget_failure(self, output: Path) -> None:
        """The output is made.

        Raises:
            OutputError: the failure cannot be removed.
        """
        path = self._path(output, _FAILURE)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be removed ({error.strerror}); remove it.") from error

    def _path(self, output: Path, suffix: str = _RECORD) -> Path:
        return self._folder / FOLDER / output.parent / f"{output.name}{suffix}"


def _write_json(path: Path, told: Record | Failure) -> None:
    try:
        make_folders(path.parent)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be made ({error.strerror}); choose another output folder.") from error
    with replace_when_complete(path) as temporary:
        temporary.write_text(json.dumps(asdict(told), indent=1), encoding="utf-8")


def _read_json(path: Path, kind: type[_Told]) -> _Told | None:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return None
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # missing, or not ours
        return None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the folder and keep other batches out of it: two would overwrite each other's outputs.

    Raises:
        OutputError: another one is at work, or the folder cannot be made.
    """
    path = folder / FOLDER / "lock"
    try:
        make_folders(path.parent)
        if path.exists() and not path.is_file():
            raise FileExistsError(errno.EEXIST, f"{path} is no file")
        file = path.open("a")
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror}); choose another output folder.") from error
    with file:
        if try_lock(file.fileno()) is Lock.HELD:
            raise OutputError(f"Another batch is writing to {folder}; wait until it is done.")
        yield


def content_hash(files: Iterable[Path]) -> str:
    """sha256 of the content of some files, whatever their names and order.

    Raises:
        OSError: one of them cannot be read.
    """
    return _together(map(_file_hash, files))


def finished(record: Record, place: Path) -> Record:
    """The record of an output that is made."""
    files = hashes_of_output(place)
    return replace(record, output=_together(files.values()), files=files, crashes=0)


def hashes_of_output(place: Path) -> dict[str, str]:
    """sha256 of an output file, as "", or of the files of an output folder, by name."""
    if not place.is_dir():
        return {"": _file_hash(place)}
    return {path.relative_to(place).as_posix(): _file_hash(path) for path in place.rglob("*") if path.is_file()}


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
        OSError: one of them is gone.
    """
    return [(status.st_size, status.st_mtime_ns) for status in map(os.stat, files)]
