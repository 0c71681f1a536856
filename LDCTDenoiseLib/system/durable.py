"""Sync files, then their folder, before anything records that they are written.

A rename moves a name and not the content: after a loss of power a renamed file may be empty, and a name in a folder that was not
synced may be gone. So content, folder and parent are synced in this order, by every writer of this package.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

_SYNCS_AT_ONCE = 8
"""File systems write syncs that come together in one step: 30 files one after the other take ten times as long."""
_NOT_SUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF}
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def sync_file(path: Path) -> None:
    """Bring a file's content to the disk; some file systems tell only then that it did not fit.

    Raises:
        OSError: it could not be written.
    """
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, where the system has a way.

    Raises:
        OSError: they could not be written.
    """
    if sys.platform == "win32":  # folders cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Bring all files of a folder and below to the disk, then the folders.

    Raises:
        OSError: one could not be written.
    """
    folders, files = [folder], []
    for place, inside, names in os.walk(folder):
        folders += [Path(place, name) for name in inside]
        files += [Path(place, name) for name in names]
    with ThreadPoolExecutor(_SYNCS_AT_ONCE) as pool:
        list(pool.map(sync_file, files))
    for one in reversed(folders):
        sync_folder(one)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing, each known to the disk.

    Raises:
        OSError: one cannot be made.
    """
    missing = []
    place = folder.absolute()
    while not place.exists():
        missing.append(place)
        place = place.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)
    folder.mkdir(exist_ok=True)  # raises when it is something else


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names of a file system in one step; false where system or file system has no such step.

    Raises:
        OSError: it has, and it failed.
    """
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_SUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(one))


@cache
def _renameat2() -> Any:
    """The function of the C library, of Linux with glibc from 2.28; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function
