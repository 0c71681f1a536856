"""The files of an input: of a folder, a DICOMDIR or one file; what cannot be looked into; what may be a damaged slice."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.uid import MediaStorageDirectoryStorage

from ..errors import InputError, counted
from ..system.work_folder import is_work_folder
from .read_file import media_class, read_header, unreadable

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_LOOKED_AT = 132


@dataclass(frozen=True)
class Listing:
    """What lies in some folders.

    Attributes:
        folders: those that were listed.
        recursive: with all folders below.
        files: sorted by path; links that lead nowhere are among them.
        closed: folders that cannot be listed, each with the sentence that says so.
    """

    folders: tuple[Path, ...]
    recursive: bool
    files: tuple[Path, ...] = ()
    closed: dict[Path, str] = field(default_factory=dict)

    def parts(self, groups: Iterable[Iterable[Path]]) -> Iterator[Listing]:
        """For each group of folders what concerns the files in them, without those below."""
        by_folder: dict[Path, list[Path]] = {}
        for path in self.files if self.folders else ():
            by_folder.setdefault(path.parent, []).append(path)
        for folders in groups:
            inside = sorted(set(folders)) if self.folders else []
            yield Listing(tuple(inside), False, tuple(sorted(path for one in inside for path in by_folder.get(one, ()))))

    def check_unchanged(self) -> None:
        """Make sure that no file came or went since.

        Raises:
            InputError: one did.
        """
        if not self.folders:
            return
        now = list_folders(self.folders, recursive=self.recursive)
        came, went = set(now.files) - set(self.files), set(self.files) - set(now.files)
        if came or went:
            raise InputError(
                f"The input changed while it was read: {counted(len(came), 'file')} came and {len(went)} went, such as "
                f"{min(came or went).name}; wait until the series is complete."
            )


def list_folders(
    folders: Iterable[Path], *, recursive: bool = True, left_out: Callable[[Path], bool] = lambda folder: False
) -> Listing:
    """What lies in folders, linked ones too, in each once; unfinished outputs of this program are no input.

    Args:
        folders: to look into; one that is not there has no files.
        recursive: with all folders below.
        left_out: which folders below not to look into.
    """
    folders = tuple(folders)
    files: list[Path] = []
    closed: dict[Path, str] = {}

    def note(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            closed[Path(error.filename)] = str(unreadable(Path(error.filename), error))

    starts, seen = list(folders), set[str]()
    for start in starts:
        for folder, below, names in os.walk(start, onerror=note):
            real = os.path.realpath(folder)
            if real in seen:
                below.clear()
                continue
            seen.add(real)
            inside = [Path(folder, name) for name in sorted(below)] if recursive else []
            inside = [path for path in inside if not is_work_folder(path) and not left_out(path)]
            starts += (path for path in inside if path.is_symlink())  # at the end: no link goes before the folder's own name
            below[:] = (path.name for path in inside)
            files += (path for path in (Path(folder, name) for name in names) if _is_file(path))
    return Listing(folders, recursive, tuple(sorted(files)), closed)


def _is_file(path: Path) -> bool:
    """Whether something is a file, or would be one if it could be looked at."""
    try:
        return path.is_file() or (path.is_symlink() and not path.exists())
    except OSError:
        return True


def files_of(source: Path) -> Listing:
    """The files of an input: all in a folder and below; those that a DICOMDIR names; or the file itself.

    Raises:
        InputError: a DICOMDIR points out of its folder, or to a file that is not there.
    """
    if source.is_dir():
        return list_folders([source])
    header = read_header(source, ["SOPClassUID", "DirectoryRecordSequence"])
    if header is None or media_class(header) != MediaStorageDirectoryStorage:
        return Listing((), False, (source,))
    folder = source.parent.resolve()
    files = []
    for record in header.get("DirectoryRecordSequence") or ():
        reference = record.get("ReferencedFileID")
        if not reference:
            continue
        parts = [reference] if isinstance(reference, str) else list(reference)
        path = _inside(folder, parts)
        if path is None:
            raise InputError(
                f"{source.name} points to a file outside its folder; it is damaged or hostile: give the folder of the images."
            )
        if not path.is_file():
            raise InputError(f"{source.name} names a file that is not there ({'/'.join(parts)}); copy the whole medium.")
        files.append(path)
    return Listing((), False, tuple(files))


def _inside(folder: Path, parts: list[str]) -> Path | None:
    """The file that a reference names; None if it leaves the folder, by "..", an absolute path or a link."""
    if any(part in ("", ".", "..") or "/" in part or os.sep in part or ":" in part for part in parts):
        return None
    # The standard writes capitals; a copy of the medium may have small letters.
    for spelling in (parts, [part.lower() for part in parts]):
        path = folder.joinpath(*spelling)
        if not path.resolve().is_relative_to(folder):
            return None
        if path.is_file():
            break
    return path


def may_be_slice(path: Path, slices: Iterable[Path]) -> str:
    """Why a file that is not DICOM may be a slice that was damaged; "" when it is something else.

    A file is taken for one if it is named as DICOM files are, or as the slices that lie around it, or starts as a data set
    without a preamble does. Hidden files are none, nor is text without a suffix (README, VERSION).

    Args:
        path: the file.
        slices: files that are slices.
    """
    if path.name.startswith("."):
        return ""
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT)
    except OSError as error:
        return error.strerror or "it cannot be opened" if _named_as(path, slices, start=b"\0") else ""
    if _starts_as_data_set(start):
        return "it is DICOM without its preamble"
    if not _named_as(path, slices, start):
        return ""
    return "it is empty" if not start else "it is cut off" if len(start) < _LOOKED_AT else "it is not DICOM"


def _named_as(path: Path, slices: Iterable[Path], start: bytes) -> bool:
    suffix = _suffix(path)
    if suffix in _DICOM_SUFFIXES:
        return True
    if not suffix and start and start.isascii() and start.decode("ascii").replace("\r", "").replace("\n", "").isprintable():
        return False
    return any(suffix == _suffix(one) for one in slices)


def is_named_as_image(path: Path) -> bool:
    """Whether a name alone lets a file be a DICOM image: it has a suffix of DICOM, or none."""
    named = not path.name.startswith(".") and path.name.upper() != "DICOMDIR"
    return named and _suffix(path) in ("", *_DICOM_SUFFIXES)


def _suffix(path: Path) -> str:
    """Suffix of a file's name; numbers are none, such as the end of a UID."""
    suffix = path.suffix.lower()
    return "" if suffix[1:].isdecimal() else suffix


def _starts_as_data_set(start: bytes) -> bool:
    """Whether bytes begin with a low element of group 0002 or 0008, as meta information or a data set does."""
    if len(start) < 8:
        return False
    group, element = struct.unpack("<HH", start[:4])
    return (group, element) == (0x0002, 0x0000) or (group == 0x0008 and element <= 0x0020)
