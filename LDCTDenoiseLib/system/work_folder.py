"""A private folder beside an output, in which the output is made, with a journal that proves whose it is.

A process that is killed leaves its work folder. The next one that writes beside it ends what was begun and removes the folder,
if its journal says that this program made it: that it names the folder itself (a copy has another inode), and that its owner is
gone. A name proves nothing: people may call their own files as they like.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from .durable import exchange, sync_file, sync_folder
from .locks import Lock, open_folder, try_lock
from .owner import Owner

log = logging.getLogger(__name__)

TEMPORARY_PREFIX = ".ldctdenoise-"
"""Start of the names of work folders."""
_JOURNAL, _OUTPUT, _OLD = "journal.json", "output", "old"
_MADE_BY = "ldctdenoise"
_LONGEST_JOURNAL = 2**24
_ELSEWHERE_SECONDS = 24 * 3600
"""When the owner may live on another machine, a folder that nobody has locked is left alone for so long."""


class Stage(StrEnum):
    """How far an output has come."""

    WRITING = "writing"  # all in the folder is new
    EXCHANGING = "exchanging"  # the folder holds the new output, or, exchanged, the old one
    MOVING = "moving"  # the old output is moved into the folder, then the new one out of it


@dataclass(frozen=True)
class _Journal:
    inode: int
    owner: Owner
    stage: Stage = Stage.WRITING
    target: str = ""
    names: list[str] = field(default_factory=list)
    """Of the files of the old output and of the new one: all that may be deleted once an exchange has begun."""

    def save(self, folder: Path) -> None:
        """Write it, or replace it in one step; on the disk before a name is changed that it tells of."""
        told = {"made_by": _MADE_BY, "inode": self.inode, "owner": self.owner.as_json(), "stage": self.stage.value}
        told |= {"target": self.target, "names": self.names}
        if self.stage is Stage.WRITING:
            (folder / _JOURNAL).write_text(json.dumps(told), encoding="utf-8")
            return
        written = folder / f"{_JOURNAL}.new"
        written.write_text(json.dumps(told), encoding="utf-8")
        sync_file(written)
        written.replace(folder / _JOURNAL)
        sync_folder(folder)

    @classmethod
    def of(cls, folder: Path) -> _Journal | None:
        """The journal of a folder; None unless it is one, and this folder's."""
        path = folder / _JOURNAL
        try:
            if path.is_symlink() or not path.is_file() or path.stat().st_size > _LONGEST_JOURNAL:
                return None
            told: Any = json.loads(path.read_text(encoding="utf-8"))
            if told["made_by"] != _MADE_BY or told["inode"] != folder.lstat().st_ino:
                return None
            target, names = told["target"], told["names"]
            if not isinstance(names, list) or not all(map(_is_plain_name, names)) or not (target == "" or _is_plain_name(target)):
                return None
            return cls(told["inode"], Owner.from_json(told["owner"]), Stage(told["stage"]), target, names)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name and "\0" not in name


class WorkFolder:
    """A new work folder, this process's until :meth:`close`.

    Args:
        parent: the folder in which the output will lie, so that a rename puts it there.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, parent: Path) -> None:
        self.path, self._handle = _make_and_lock(parent)
        try:
            self._journal = _Journal(self.path.lstat().st_ino, Owner.current())
            self._journal.save(self.path)
        except BaseException:
            self.close()
            raise

    def make_file(self, suffix: str = "") -> Path:
        """A new empty file with the rights that any new file beside the output would have; nobody else can reach it here."""
        path = self.path / f"{_OUTPUT}{suffix}"
        path.open("x").close()
        return path

    def make_folder(self) -> Path:
        """A new folder, as :meth:`make_file`."""
        path = self.path / _OUTPUT
        path.mkdir()
        return path

    def replace_folder(self, new: Path, target: Path, names: Iterable[str]) -> Path:
        """Put a new folder in the place of one that exists: in one step, or in two of which the next run does the second.

        Args:
            new: from :meth:`make_folder`.
            target: the old one.
            names: of the files in both.

        Returns:
            Where the old one lies now.

        Raises:
            OSError: the old one is still in its place.
        """
        self._note(Stage.EXCHANGING, target, names)
        if exchange(new, target):
            return new
        self._note(Stage.MOVING, target, names)
        old = self.path / _OLD
        target.rename(old)
        try:
            new.rename(target)
        except OSError:
            old.rename(target)
            raise
        return old

    def take_back(self, old: Path, target: Path) -> None:
        """Undo :meth:`replace_folder`."""
        if old.name == _OLD:
            target.rename(self.path / _OUTPUT)
            old.rename(target)
        else:
            exchange(old, target)

    def _note(self, stage: Stage, target: Path, names: Iterable[str]) -> None:
        self._journal = replace(self._journal, stage=stage, target=target.name, names=sorted(set(names)))
        self._journal.save(self.path)

    def close(self) -> None:
        """Remove the folder with all that is this program's in it."""
        try:
            with suppress(OSError):  # the parent may have been closed meanwhile; the output's failure tells so
                if hasattr(self, "_journal"):
                    _settle(self.path, self._journal)
                else:
                    _remove_empty(self.path)
        finally:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None


def _make_and_lock(parent: Path) -> tuple[Path, int | None]:
    while True:
        path = parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        with suppress(FileNotFoundError):
            handle = open_folder(path)
            if handle is None:
                return path, None
            if try_lock(handle) is not Lock.HELD and path.exists():
                return path, handle
            os.close(handle)
        # Another process took it for a leftover: it was empty and not locked yet.
        with suppress(OSError):
            path.rmdir()


def is_work_folder(path: Path) -> bool:
    """Whether this program made a folder to write in: what lies there is no input."""
    return path.name.startswith(TEMPORARY_PREFIX) and _Journal.of(path) is not None


def recover(parent: Path) -> None:
    """End what killed processes began in a folder, and remove their work folders; what others use, or made, stays."""
    try:
        with os.scandir(parent) as entries:
            found = [
                Path(entry.path)
                for entry in entries
                if entry.name.startswith(TEMPORARY_PREFIX) and entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return  # whoever writes there next is told
    for folder in found:
        with suppress(OSError):
            _recover(folder)


def _recover(folder: Path) -> None:
    handle = open_folder(folder)
    try:
        lock = Lock.NONE if handle is None else try_lock(handle)
        if lock is Lock.HELD:
            return
        journal = _Journal.of(folder)
        if journal is None:
            if lock is Lock.TAKEN:
                _remove_empty(folder)
        elif _is_abandoned(folder, journal.owner, lock):
            _settle(folder, journal)
    finally:
        if handle is not None:
            os.close(handle)


def _is_abandoned(folder: Path, owner: Owner, lock: Lock) -> bool:
    dead = owner.is_dead()
    if dead is not None:
        return dead
    if lock is not Lock.TAKEN:
        return False
    return owner.of_this_boot or time.time() - folder.stat().st_mtime > _ELSEWHERE_SECONDS


def _remove_empty(folder: Path) -> None:
    """Remove what a process that was killed before it had written its journal left: a folder of nothing."""
    with suppress(OSError):
        if (folder / _JOURNAL).lstat().st_size == 0:
            (folder / _JOURNAL).unlink()
    folder.rmdir()  # fails unless empty


def _settle(folder: Path, journal: _Journal) -> None:
    """End a move that was begun, then remove the folder; once an exchange has begun, nothing but what the journal names."""
    if journal.stage is Stage.WRITING:
        shutil.rmtree(folder)
        return
    if journal.stage is Stage.MOVING:
        target = folder.parent / journal.target
        for whole in (folder / _OUTPUT, folder / _OLD):  # the new one, if it is there; else the old one goes back
            if whole.exists() and not os.path.lexists(target):
                whole.rename(target)
                sync_folder(folder.parent)
    for place in (folder / _OUTPUT, folder / _OLD):
        if place.is_symlink():
            continue
        for name in journal.names:
            (place / name).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            place.rmdir()
    if {path.name for path in folder.iterdir()} <= {_JOURNAL, f"{_JOURNAL}.new"}:
        shutil.rmtree(folder)
