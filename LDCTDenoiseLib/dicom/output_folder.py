"""Output folders that are whole or absent: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError
from ..system.files import check_writable, give_usual_rights, hold, temporary_beside
from .derivation import is_derived
from .read_file import read_header


def check_folder_output(source: Path, target: Path, *, overwrite: bool) -> None:
    """Make sure, before time is spent, that a derived series can be written to a folder.

    Raises:
        InputError: it lies in the source or around it, exists with something in it, or cannot be made.
    """
    read, written = source.resolve(), target.resolve()
    if read.is_relative_to(written) or (source.is_dir() and written.is_relative_to(read)):
        raise InputError(f"The output folder {target} and the input {source} lie in each other; choose a folder beside it.")
    if target.is_dir() and not any(target.iterdir()):
        overwrite = True
    check_writable(target, overwrite=overwrite)
    if target.exists():
        _check_replaceable(target)


def _check_replaceable(target: Path) -> None:
    """Refuse to replace, and so delete, anything but a series that this program made."""
    if not target.is_dir():
        raise InputError(f"{target} is a file, and DICOM is written to a folder; choose another name.")
    for path in target.iterdir():
        header = read_header(path, ["ContributingEquipmentSequence"]) if path.is_file() else None
        if header is None or not is_derived(header):
            raise InputError(
                f"{target} holds {path.name}, which this program did not write; empty the folder, or choose another one."
            )


@contextmanager
def replace_folder_when_complete(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a private temporary folder beside ``target``; rename it to ``target`` on success, remove it on any failure.

    Raises:
        InputError: it cannot be made or filled, or something else lies there by then.
    """
    with temporary_beside(target, folder=True) as temporary:
        yield temporary
        give_usual_rights(temporary, 0o777)
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        if target.exists() and overwrite:
            _check_replaceable(target)
            _exchange(temporary, target)
        else:
            temporary.rename(target)


def _exchange(new: Path, target: Path) -> None:
    held = hold(target)  # it is about to be named as a leftover
    try:
        old = new.with_name(f"{new.name}-old")
        target.rename(old)
        try:
            new.rename(target)
        except OSError:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        if held is not None:
            os.close(held)
