"""Outputs that are whole or absent: written under a temporary name beside the target, then renamed.

A process that is killed outright leaves its temporary file. Every temporary file is locked by the process that writes it,
and the system drops the locks of the dead: so the next output in the folder knows leftovers and removes them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError

if sys.platform != "win32":
    import fcntl

TEMPORARY_PREFIX = ".ldctdenoise-"
"""Start of the names of unfinished outputs."""
_CLOCK_TICK_NS = 20_000_000
"""Times of files are no finer than this: Linux takes them from a clock that moves every 4 or 10 ms."""


def check_writable(target: Path, *, overwrite: bool) -> Path:
    """Make sure that a file can be written, before time is spent on its content.

    Raises:
        InputError: its folder is missing or not writable, or the file exists and ``overwrite`` is false.
    """
    folder = target.absolute().parent
    if not folder.is_dir():
        raise InputError(f"The folder {folder} does not exist; create it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"The folder {folder} is not writable; choose another output folder.")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists; pass --overwrite to replace it, or choose another name.")
    return target


@contextmanager
def replace_when_complete(target: Path, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it to ``target`` on success, remove it on any failure.

    Raises:
        InputError: no file can be made there.
    """
    with temporary_beside(target, suffix) as temporary:
        yield temporary
        give_usual_rights(temporary, 0o666)
        _flush(temporary)
        temporary.replace(target)


@contextmanager
def temporary_beside(target: Path, suffix: str = "", *, folder: bool = False) -> Iterator[Path]:
    """Yield a private temporary file or folder beside ``target``; what is still there at the end is removed.

    Raises:
        InputError: it cannot be made, or an OSError comes out of the block, which is told as one about ``target``.
    """
    parent = target.absolute().parent
    remove_leftovers(parent)
    handle = None
    try:
        temporary, handle = _make_and_hold(parent, suffix, folder)
        try:
            yield temporary
        finally:
            with suppress(OSError):  # the parent may have been closed meanwhile; the output's failure tells so
                _remove(temporary)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror}); choose another output.") from error
    finally:
        if handle is not None:
            os.close(handle)


def give_usual_rights(path: Path, mode: int) -> None:
    """Give a private file or folder the rights that a plain open() or mkdir() would give it."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(mode & ~mask)


def _flush(path: Path) -> None:
    """Bring a file's content to the disk: some file systems tell only then that it did not fit."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _make_and_hold(parent: Path, suffix: str, folder: bool) -> tuple[Path, int | None]:
    """A new temporary file or folder, locked for as long as the handle, if there is one, stays open."""
    while True:
        if folder:
            path = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent))
        else:
            file, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=suffix, dir=parent)
            os.close(file)
            path = Path(name)
        handle = hold(path)
        if path.exists():
            return path, handle
        if handle is not None:
            os.close(handle)  # another process took it for a leftover before it was locked


def hold(path: Path) -> int | None:
    """Lock a file or folder until the handle that is returned is closed, so that it is no leftover.

    None where there are no such locks, on Windows (which renames nothing that is open); there, leftovers stay.
    """
    if sys.platform == "win32":
        return None
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with suppress(OSError):  # a file system without locks: nobody else will take it for a leftover either
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders of processes that were killed; those in use and those of others stay."""
    if sys.platform == "win32":
        return
    try:
        found = [Path(entry.path) for entry in os.scandir(folder) if entry.name.startswith(TEMPORARY_PREFIX)]
    except OSError:
        return  # whoever writes there next is told
    for leftover in found:
        with suppress(OSError):
            handle = os.open(leftover, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(leftover)
            finally:
                os.close(handle)


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Around the reading of a file: refuse what was read if the file changed meanwhile, for it may be half old, half new.

    Raises:
        InputError: it changed or vanished.
    """
    before = _state(path)
    if before is not None and 0 <= time.time_ns() - before[-1] < _CLOCK_TICK_NS:
        time.sleep(_CLOCK_TICK_NS / 1e9)  # else a change within the same tick would not show
    yield
    if before is None or _state(path) != before:
        raise InputError(f"{path.name} changed while it was read; wait until it is complete and try again.")


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
