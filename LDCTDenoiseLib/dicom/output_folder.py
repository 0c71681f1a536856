"""Output folders of derived series: whole or absent, and never in the place of what this program did not write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import Code, OutputError
from ..system import files
from ..system.files import check_writable, resolved
from .derivation import is_derived
from .read_file import read_header


def check_folder_output(source: Path, target: Path, *, overwrite: bool) -> None:
    """Make sure, before time is spent, that a derived series can be written to a folder.

    Raises:
        OutputError: it lies in the source or around it, exists with something in it, or cannot be made or replaced.
    """
    read, written = source.resolve(), resolved(target)
    if read.is_relative_to(written) or (source.is_dir() and written.is_relative_to(read)):
        raise OutputError(f"The output folder {target} and the input {source} lie in each other; choose a folder beside it.")
    # A folder is replaced as a whole, by another one of its name.
    if os.path.ismount(written):
        raise OutputError(f"The output folder {target} is a mount point, which cannot be replaced; give a new folder in it.")
    if Path.cwd().is_relative_to(written):
        raise OutputError(f"The output folder {target} is the current folder or around it; give a new folder in it.")
    check_writable(target, overwrite=overwrite or _is_empty_folder(target))
    if target.exists():
        _check_replaceable(target)
        if not os.access(written, os.W_OK | os.X_OK):
            raise OutputError(f"The output folder {target} is not writable; choose another output folder.")


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _check_replaceable(target: Path) -> None:
    """Refuse to replace, and so delete, anything but a series that this program made."""
    if not target.is_dir():
        raise OutputError(f"{target} is a file, and DICOM is written to a folder; choose another name.")
    for path in target.iterdir():
        header = read_header(path, ["ContributingEquipmentSequence"]) if path.is_file() else None
        if header is None or not is_derived(header):
            raise OutputError(
                f"{target} holds {path.name}, which this program did not write; empty the folder, or choose another one."
            )


@contextmanager
def replace_folder_when_complete(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a private temporary folder beside ``target``; on success it becomes ``target``, on any failure it is removed.

    Raises:
        OutputError: it cannot be made or filled, or something else lies there by then.
    """

    def check_old(old: Path) -> None:
        _check_replaceable(old)
        if not overwrite and not _is_empty_folder(old):
            raise OutputError(f"{target} was filled meanwhile.", Code.EXISTS)

    with files.replace_folder_when_complete(target, check_old) as temporary:
        yield temporary
