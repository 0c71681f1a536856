"""Outputs that are whole or absent: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError


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
    try:
        handle, name = tempfile.mkstemp(prefix=".ldctdenoise-", suffix=suffix, dir=target.absolute().parent)
    except OSError as error:
        raise InputError(f"{target} cannot be written ({error.strerror}); choose another output.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; an output gets the rights that a plain open() would give it.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        try:
            temporary.replace(target)
        except OSError as error:
            raise InputError(f"{target} cannot be written ({error.strerror}); choose another output.") from error
    finally:
        temporary.unlink(missing_ok=True)
