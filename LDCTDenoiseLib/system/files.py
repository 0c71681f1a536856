"""Outputs that are whole or absent, and on the disk: written in a work folder beside the target, synced, then renamed."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from ..errors import Code, InputError, OutputError
from .durable import sync_file, sync_folder, sync_tree
from .work_folder import WorkFolder, recover

_CLOCK_TICK_NS = 20_000_000
"""Times of files are no finer than this: Linux takes them from a clock that moves every 4 or 10 ms."""


def check_writable(target: Path, *, overwrite: bool) -> Path:
    """Make sure that a file or folder can be written, before time is spent on its content.

    Raises:
        OutputError: its folder is missing or not writable, it is a device or pipe, or it exists and ``overwrite`` is false.
    """
    place = resolved(target)
    folder = place.parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist; create it first.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"The folder {folder} is not writable; choose another output folder.")
    recover(folder)  # what an interrupted run had to end may be this very output
    if place.exists() and not (place.is_file() or place.is_dir()):
        raise OutputError(f"{target} is a device or a pipe, which cannot be replaced; choose another name.")
    if place.exists() and not overwrite:
        raise OutputError(f"{target} exists.", Code.EXISTS)
    return target


def is_there(path: Path) -> bool:
    """Whether something is at a path.

    Raises:
        InputError: the system does not say: the name is too long, or a folder above may not be entered.
    """
    try:
        return path.exists()
    except OSError as error:
        raise InputError(f"{path} cannot be looked at ({error.strerror}); correct the path, or its rights.") from error


def check_exists(path: Path, needed: str) -> None:
    """Make sure that an input is there; ``needed`` is what to give in its place.

    Raises:
        InputError: it is not, or nobody can say.
    """
    if not is_there(path):
        raise InputError(f"{path} does not exist; give {needed}.")


def check_there(source: Path, target: Path, needed: str = "a volume file or a DICOM folder") -> None:
    """Make sure that there is an input, and that the output is another file.

    Raises:
        InputError: there is none.
        OutputError: input and output are one file.
    """
    if not is_there(source) and target.exists():
        raise InputError(f"{source} does not exist, and {target} does; did you mean {target} as input and {source} as output?")
    check_exists(source, needed)
    check_apart(source, target)


def check_apart(source: Path, target: Path) -> None:
    """Refuse an output that is its own input, by whatever path or link.

    Raises:
        OutputError: it is.
    """
    if source.exists() and target.exists() and source.samefile(target):
        raise OutputError(f"The output {target} is the input itself, which would be lost; choose another name.")


def resolved(target: Path) -> Path:
    """Where an output really goes: a link is followed and not replaced.

    Raises:
        OutputError: links point to each other.
    """
    try:
        return target.resolve()
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{target} is a link that leads nowhere; choose another output.") from error


_tell: ContextVar[tuple[Path, Callable[[Path], object]] | None] = ContextVar("_tell", default=None)


@contextmanager
def told_before_placed(target: Path, tell: Callable[[Path], object]) -> Iterator[None]:
    """Within, ``tell`` is called with what is about to become ``target``: who is killed after that has said what it is.

    Args:
        target: an output that is written within, through however many calls.
        tell: called once the output is on the disk, in its temporary path.

    Raises:
        OutputError: links point to each other.
    """
    token = _tell.set((resolved(target), tell))
    try:
        yield
    finally:
        _tell.reset(token)


def _tell_before_placed(new: Path, place: Path) -> None:
    asked = _tell.get()
    if asked is not None and asked[0] == place:
        asked[1](new)


@contextmanager
def replace_when_complete(target: Path, suffix: str = "", *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; on success it becomes ``target``, on any failure it is removed.

    A file that is replaced passes its rights on.

    Args:
        target: absent, or a file.
        suffix: of the temporary path.
        overwrite: replace a file that is there by then.

    Raises:
        OutputError: no file can be made there, one is there by then and ``overwrite`` is false, or an OSError comes out of the
            block, which is told as one about ``target``.
    """
    with _work_beside(target) as (work, place):
        temporary = work.make_file(suffix)
        usual = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        temporary.chmod(usual)  # some writers make a file of their own
        sync_file(temporary)
        if place.is_file():
            _pass_rights(place, temporary)  # after the sync, which must write; no rename overtakes a change of rights
        _tell_before_placed(temporary, place)
        _put(temporary, place, overwrite=overwrite)
        sync_folder(place.parent)


def _put(new: Path, place: Path, *, overwrite: bool) -> None:
    """Give a file its name."""
    if not overwrite:
        try:
            os.link(new, place)  # fails where a file is, as a rename does not
            return
        except OSError as error:
            if place.exists():
                raise OutputError(f"{place} was made meanwhile.", Code.EXISTS) from error
        # A file system without hard links.
    new.replace(place)


@contextmanager
def replace_folder_when_complete(target: Path, check_old: Callable[[Path], object]) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``; on success it becomes ``target``, on any failure it is removed.

    A folder that is replaced passes its rights on.

    Args:
        target: absent, or a folder of files without folders.
        check_old: called with the folder that is to be deleted, if there is one; raises InputError if it must stay.

    Raises:
        OutputError: as :func:`replace_when_complete`, and ``check_old``'s.
    """
    with _work_beside(target) as (work, place):
        temporary = work.make_folder()
        yield temporary
        sync_tree(temporary)
        _tell_before_placed(temporary, place)
        if place.exists():
            check_old(place)
            _pass_rights_of_tree(place, temporary)  # after the sync, as above
            names = [path.name for one in (place, temporary) for path in one.iterdir()]
            old = work.replace_folder(temporary, place, names)
            try:
                check_old(old)  # what came into it between the look and the exchange is not ours to delete
            except BaseException:
                work.take_back(old, place)
                raise
        else:
            temporary.rename(place)
        sync_folder(place.parent)


@contextmanager
def _work_beside(target: Path) -> Iterator[tuple[WorkFolder, Path]]:
    """A work folder for an output, and where the output really goes."""
    place = resolved(target)
    recover(place.parent)
    try:
        work = WorkFolder(place.parent)
        try:
            yield work, place
        finally:
            work.close()
    except OSError as error:
        raise OutputError(f"{target} cannot be written ({error.strerror}); choose another output.") from error


def _pass_rights(old: Path, new: Path) -> None:
    """Give a new file or folder the rights of the one that it replaces."""
    if sys.platform == "win32":  # a new file there has the rights of its folder
        return
    before = old.stat()
    mode = stat.S_IMODE(before.st_mode)
    with suppress(OSError):  # only root may give files away
        os.chown(new, before.st_uid, -1)
    try:
        os.chown(new, -1, before.st_gid)
    except OSError:
        mode &= ~stat.S_IRWXG  # what one group could do must not be another's right
    new.chmod(mode)
    for name in ("system.posix_acl_access", "system.posix_acl_default"):
        with suppress(OSError, AttributeError):  # no such list, or a system without
            os.setxattr(new, name, os.getxattr(old, name))


def _pass_rights_of_tree(old: Path, new: Path) -> None:
    """The folder's rights to the folder; and files are no looser than the old ones were."""
    modes = [stat.S_IMODE(path.stat().st_mode) for path in old.rglob("*") if path.is_file()]
    allowed = 0
    for mode in modes:
        allowed |= mode
    for path in new.rglob("*") if modes else ():
        if path.is_file():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & allowed)
    _pass_rights(old, new)


def check_regular(path: Path) -> None:
    """Refuse what is not a regular file before it is opened: opening a pipe waits for ever, and a device never ends.

    Raises:
        OutputError: it is there and is something else.
    """
    with suppress(OSError):  # whoever opens it is told
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "a device or a pipe"
            raise InputError(f"{path.name} is {kind}, not a regular file; give a file.")


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
