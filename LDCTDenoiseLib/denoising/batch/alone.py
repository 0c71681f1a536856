"""Keep two processes from making the same outputs: locks in the folder of the records."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from ...errors import OutputError
from ...system.durable import make_folders
from ...system.locks import Lock, try_lock
from .items import Shard
from .records import FOLDER

_LOOK_SECONDS = 0.2


@contextmanager
def alone(folder: Path, shard: Shard | None = None) -> Iterator[None]:
    """Make the folder and keep other batches out of it: two would overwrite each other's outputs. Other shards of one N may come.

    Raises:
        OutputError: another one is at work, or the folder cannot be made.
    """
    with ExitStack() as stack:
        whole = stack.enter_context(_lock_file(folder, "lock"))
        if try_lock(whole.fileno(), shared=shard is not None) is Lock.HELD:
            raise OutputError(f"Another batch is writing to {folder}; wait until it is done.")
        if shard is not None:
            part = stack.enter_context(_lock_file(folder, _name_of("shard", shard)))
            if try_lock(part.fileno()) is Lock.HELD:
                raise OutputError(f"Shard {shard} is at work in {folder} already; wait until it is done.")
            for name in _locks(folder, "shard", shard) - {_name_of("shard", shard)}:
                with _lock_file(folder, name) as other:
                    if try_lock(other.fileno(), shared=True) is Lock.HELD:  # shared with the other shards that look now
                        raise OutputError(
                            f"A shard of another N than {shard.count} is at work in {folder}, on some of the same items; wait "
                            "until it is done."
                        )
        yield


@contextmanager
def at_work(folder: Path, shard: Shard | None = None) -> Iterator[None]:
    """Held by each worker of a batch that runs on several machines, for its driver may die before it.

    Raises:
        OutputError: the folder cannot be written.
    """
    with _lock_file(folder, _name_of("workers", shard)) as file:
        try_lock(file.fileno(), shared=True)
        yield


def await_workers(folder: Path, shard: Shard | None = None, seconds: float = 120) -> None:
    """Wait until the workers of a driver that was killed have ended: they would publish what is done anew.

    Raises:
        OutputError: they have not, or the folder cannot be written.
    """
    end = time.monotonic() + seconds
    for name in _locks(folder, "workers", shard):
        with _lock_file(folder, name) as file:
            while try_lock(file.fileno()) is Lock.HELD:
                if time.monotonic() > end:
                    raise OutputError(
                        f"Workers of an earlier batch still write to {folder}; end them, or wait until they are done."
                    )
                time.sleep(_LOOK_SECONDS)


def _locks(folder: Path, name: str, shard: Shard | None) -> set[str]:
    """The lock files of all that may have items in common with a batch: other shards of its N have none."""
    found = {path.name for path in (folder / FOLDER).glob(f"{name}*.lock")}
    others = {one for one in found if shard is not None and one.endswith(f"-of-{shard.count}.lock")}
    return (found - others) | {_name_of(name, shard)}


def _name_of(name: str, shard: Shard | None) -> str:
    return f"{name}.lock" if shard is None else f"{name}-{shard.number}-of-{shard.count}.lock"


def _lock_file(folder: Path, name: str) -> TextIO:
    path = folder / FOLDER / name
    try:
        make_folders(path.parent)
        if path.exists() and not path.is_file():
            raise FileExistsError(errno.EEXIST, f"{path} is no file")
        return path.open("a+")  # NFS shares no lock of a file that is not open for reading
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror}); choose another output folder.") from error
