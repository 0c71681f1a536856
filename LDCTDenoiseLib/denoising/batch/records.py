"""What made an output: kept beside the outputs, so that a batch that goes on knows what is done by content, not by name.

One JSON file for every output, in a hidden folder of the batch's folder with the same layout. It is written twice: before the
work, without the output's hash, which says that whatever appears there is ours; and after it, with the hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...system.files import replace_when_complete

if sys.platform != "win32":
    import fcntl

FOLDER = ".ldctdenoise.batch"
_BLOCK = 2**20


@dataclass(frozen=True)
class Record:
    """What made an output.

    Attributes:
        input: sha256 of the input's content.
        model: sha256 of the model's tensors.
        options: everything else that the voxels depend on.
        software: version of this package.
        output: sha256 of the output's content; "" while it is being made.
    """

    input: str
    model: str
    options: dict[str, Any]
    software: str
    output: str = ""

    def made_as(self, other: Record) -> bool:
        """Whether both were, or will be, made from the same in the same way."""
        return (self.input, self.model, self.options, self.software) == (
            other.input,
            other.model,
            other.options,
            other.software,
        )


class Standing(Enum):
    """What an output's place holds."""

    NOTHING = "nothing"
    FINISHED = "finished"  # made as it would be made now, and not changed since
    OURS = "ours"  # made by a batch, of something else or with other options, or not to the end
    FOREIGN = "foreign"  # nobody knows what made it
    CHANGED = "changed"  # made by a batch, and changed by someone since


class Records:
    """The records of a batch's folder.

    Args:
        folder: the batch's output folder; need not exist before something is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def standing(self, output: Path, wanted: Record) -> Standing:
        """What lies where an output would go.

        Args:
            output: relative to the batch's folder.
            wanted: what would make it now.
        """
        place = self._folder / output
        if not place.exists():
            return Standing.NOTHING
        record = self._read(output)
        if record is None:
            return Standing.FOREIGN
        if not record.output:
            return Standing.OURS
        if record.output != content_hash_of_output(place):
            return Standing.CHANGED
        return Standing.FINISHED if record.made_as(wanted) else Standing.OURS

    def write(self, output: Path, record: Record) -> None:
        """Keep a record, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        path = self._path(output)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_complete(path) as temporary:
            temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")

    def _read(self, output: Path) -> Record | None:
        try:
            return Record(**json.loads(self._path(output).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # missing, or not ours
            return None

    def _path(self, output: Path) -> Path:
        return self._folder / FOLDER / output.parent / f"{output.name}.json"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder and keep other batches out of it: two would overwrite each other's outputs.

        Raises:
            InputError: another one is at work, or the folder cannot be made.
        """
        path = self._folder / FOLDER / "lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        except OSError as error:
            raise InputError(f"{self._folder} cannot be written ({error.strerror}); choose another output folder.") from error
        with file:
            if sys.platform != "win32":  # elsewhere it is the user's care
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise InputError(f"Another batch is writing to {self._folder}; wait until it is done.") from None
                except OSError:
                    pass  # a file system without locks: as on Windows
            yield


def content_hash(files: Iterable[Path]) -> str:
    """sha256 of the content of some files, whatever their names and order.

    Raises:
        OSError: one of them cannot be read.
    """
    digests = sorted(_file_hash(path) for path in files)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def content_hash_of_output(place: Path) -> str:
    """sha256 of an output file, or of the files of an output folder."""
    return content_hash(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else content_hash([place])


def _file_hash(path: Path) -> str:
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
