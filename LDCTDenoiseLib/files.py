"""Outputs that are whole or absent: written under a temporary name beside the target, then renamed.

A process that is killed outright leaves its temporary file. Every temporary file is locked by the process that writes it,
and the system drops the locks of the dead: so the next output in the folder knows leftovers and removes them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

if sys.platform != "win32":
    import fcntl

TEMPORARY_PREFIX = ".ldctdenoise-"

TEMPORARY_PREFIX = ".ldctdenoise-"
"""Start of the names of unfinished outputs."""


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
    folder = target.absolute().parent
    remove_leftovers(folder)
    try:
        temporary, handle = _claim(lambda: tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=suffix, dir=folder))
    except OSError as error:
        raise _not_written(target, error) from error
    try:
        yield temporary
        # mkstemp makes private files; an output gets the rights that a plain open() would give it.
        mask = os.umask(0)
        os.umask(mask)
        try:
            temporary.chmod(0o666 & ~mask)
            _flush(temporary)
            temporary.replace(target)
        except OSError as error:
            raise _not_written(target, error) from error
    finally:
        with suppress(OSError):  # the folder may have been closed meanwhile; that was told above
            temporary.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def _not_written(target: Path, error: OSError) -> InputError:
    return InputError(f"{target} cannot be written ({error.strerror}); choose another output.")


def _flush(path: Path) -> None:
    """Bring a file's content to the disk: some file systems tell only then that it did not fit."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _claim(make: Callable[[], tuple[int, str]]) -> tuple[Path, int | None]:
    """Make a temporary file and lock it for as long as the handle, if there is one, stays open."""
    while True:
        handle, name = make()
        if sys.platform == "win32":  # which renames no open file; so nobody can tell leftovers there, and they stay
            os.close(handle)
            return Path(name), None
        with suppress(OSError):  # a file system without locks: as on Windows
            fcntl.flock(handle, fcntl.LOCK_EX)
        if Path(name).exists():
            return Path(name), handle
        os.close(handle)  # another process took it for a leftover before it was locked


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
                if leftover.is_dir():
                    shutil.rmtree(leftover)
                else:
                    leftover.unlink()
            finally:
                os.close(handle)


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Around the reading of a file: refuse what was read if the file changed meanwhile, for it may be half old, half new.

    Raises:
        InputError: it changed or vanished.
    """
    before = _state(path)
    yield
    if before is None or _state(path) != before:
        raise InputError(f"{path.name} changed while it was read; wait until it is complete and try again.")


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
