"""Locks on files and folders, which the system drops when their holder ends, however it ends."""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path

if sys.platform != "win32":
    import fcntl


class Lock(Enum):
    """What trying to take a lock gave."""

    TAKEN = "taken"
    HELD = "held"  # by another process, whichever
    NONE = "none"  # system or file system has no locks


def try_lock(handle: int, *, shared: bool = False) -> Lock:
    """Lock an open file or folder until it is closed, without waiting: who holds it may never let go.

    Args:
        handle: of the open file or folder.
        shared: others may share it; without, nobody may hold it.
    """
    if sys.platform == "win32":
        return Lock.NONE
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return Lock.HELD
    except OSError:
        return Lock.NONE
    return Lock.TAKEN


def open_folder(path: Path) -> int | None:
    """A handle of a folder, to lock it; None on Windows, which opens none.

    Raises:
        OSError: it is none, or a link to one.
    """
    if sys.platform == "win32":
        return None
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
