"""Volumes between two processes: files of a private folder, mapped into memory."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..system.owner import Owner

PREFIX = "ldctdenoise-exchange-"
_OWNER = "owner.json"
CHUNK_BYTES = 8 * 2**20
"""What is copied at once: some milliseconds, so that a window stays alive between chunks."""
_REMOVED_BYTES = 64 * 2**20
"""What is taken from a file at once: freeing its memory takes some milliseconds, too."""
_STALE_SECONDS = 24 * 3600
_SPARE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class SharedArray:
    """An array in a file: where it lies, its type and shape."""

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the voxels in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def map(self, mode: str = "r") -> np.memmap:
        """The array itself, "r" to read or "r+" to write."""
        return np.memmap(self.path, self.dtype, mode, shape=self.shape)  # type: ignore[call-overload]


class ExchangeFolder:
    """A folder that only this user can read, for the volumes of one job.

    Args:
        base: where to make it; None is the system's temporary folder.

    Raises:
        InputError: it cannot be made.
    """

    def __init__(self, base: str | os.PathLike[str] | None = None) -> None:
        root = Path(base or tempfile.gettempdir())
        remove_stale(root)
        try:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))  # mkdtemp: mode 0700
            (self.path / _OWNER).write_text(json.dumps(Owner.current().as_json()), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"No folder can be made in {root} ({error.strerror}); free or change the temporary folder."
            ) from error

    def allocate(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> SharedArray:
        """An array of undefined content whose disk space is reserved.

        Space is reserved and not only promised: writing to a mapped file on a full disk ends a process without a word.

        Raises:
            InputError: the disk has not enough space.
        """
        array = SharedArray(self.path / name, np.dtype(dtype), tuple(shape))
        free = shutil.disk_usage(self.path).free
        try:
            if free < array.nbytes + _SPARE_BYTES:
                raise OSError(28, "No space left on device")
            with array.path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, array.nbytes)
                else:
                    file.truncate(array.nbytes)
        except OSError as error:
            raise InputError(
                f"The temporary folder {self.path.parent} has not enough space: {array.nbytes / 1e6:.0f} MB are needed and "
                f"{free / 1e6:.0f} MB are free; free some, or set another temporary folder."
            ) from error
        return array

    def remove_in_steps(self) -> Iterator[None]:
        """Remove the folder piece by piece, yielding after every piece; nobody may use its arrays any more."""
        for path in self.path.iterdir():
            with suppress(OSError):  # what cannot be shortened is removed whole
                for size in range(path.stat().st_size - _REMOVED_BYTES, 0, -_REMOVED_BYTES):
                    os.truncate(path, size)
                    yield
        self.remove()

    def remove(self) -> None:
        """Remove the folder with all volumes in it; a second time does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)


def check_arrays(request: Any) -> None:
    """Make sure that all arrays of a request lie in its exchange folder and are as long as the request says.

    Raises:
        InputError: one does not, or the folder is none that :class:`ExchangeFolder` made.
    """
    folder = getattr(request, "folder", None)
    if folder is None:
        return
    if not folder.name.startswith(PREFIX) or folder.is_symlink() or not folder.is_dir():
        raise InputError("The folder of the request is no exchange folder; start the computation again.")
    for one in fields(request):
        array = getattr(request, one.name)
        if not isinstance(array, SharedArray):
            continue
        path = array.path.resolve()
        if path.parent != folder.resolve():
            raise InputError(f"The {one.name} of the request lies outside its exchange folder; start the computation again.")
        if path.exists() and (min(array.shape, default=1) < 0 or array.nbytes > path.stat().st_size):
            raise InputError(f"The {one.name} of the request is longer than its file; start the computation again.")


def chunks(shape: tuple[int, ...], itemsize: int) -> Iterator[slice]:
    """Ranges of the first axis, of about ``CHUNK_BYTES`` each."""
    per_slice = max(1, int(np.prod(shape[1:], dtype=np.int64)) * itemsize)
    step = max(1, CHUNK_BYTES // per_slice)
    for first in range(0, shape[0], step):
        yield slice(first, min(first + step, shape[0]))


def copy_in_chunks(source: np.ndarray, target: np.ndarray) -> Iterator[None]:
    """Copy one array into another of the same shape, yielding after every chunk."""
    for part in chunks(target.shape, target.itemsize):
        target[part] = source[part]
        yield


def remove_stale(root: Path) -> None:
    """Remove folders of this user whose owner is dead, or, where that is not known, in which nothing happened for a day."""
    for folder in root.glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink():
                continue
            # The newest file and not the folder: a job that still runs writes into its files.
            newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
            mine = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
        except OSError:
            continue
        if not mine:
            continue
        dead = _owner_is_dead(folder)
        if dead or (dead is None and time.time() - newest > _STALE_SECONDS):
            shutil.rmtree(folder, ignore_errors=True)


def _owner_is_dead(folder: Path) -> bool | None:
    """Whether the process that made a folder has ended; None if that is not known."""
    path = folder / _OWNER
    try:
        if path.is_symlink() or not path.is_file():
            return None
        return Owner.from_json(json.loads(path.read_text(encoding="utf-8"))).is_dead()
    except (OSError, ValueError, RecursionError):
        return None
