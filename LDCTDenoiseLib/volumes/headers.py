"""Headers of volume files, read and bounded before ITK sees them.

ITK's own readers put what a header lists into arrays of fixed length and what it says into messages of fixed length: a list of
600 spacings, a name of 300 letters or -1 axes end the process. So each header is parsed here first, as its format defines it,
and what cannot be right is refused. Sources: https://teem.sourceforge.net/nrrd/format.html,
https://itk.org/Wiki/ITK/MetaIO/Documentation, https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import DamagedError, InputError

_MAX_HEADER_BYTES = 2**20
_MAX_AXES = {"nrrd": 16, "metaimage": 10, "nifti": 7}
_MAX_WORD = 64
"""Of a number or a keyword; a longer one is neither."""
_MAX_TEXT = 250
_MAX_LINE = 2**16

_NRRD_AXES = {  # fields with one value an axis, and what a value looks like
    **dict.fromkeys(("sizes", "spacings", "thicknesses", "axis mins", "axismins", "axis maxs", "axismaxs"), r"\S+"),
    **dict.fromkeys(("kinds", "centers", "centerings"), r"\S+"),
    **dict.fromkeys(("units", "labels"), r'"(?:[^"\\]|\\.)*"'),
    "space directions": r"none|\([^()]*\)",
}
_NRRD_SPACE = {  # with one value an axis of the space around
    "space units": r'"(?:[^"\\]|\\.)*"',
    "space origin": r"\([^()]*\)",
    "measurement frame": r"none|\([^()]*\)",
}
_NRRD_WORDS = (
    *("type", "encoding", "endian", "dimension", "space", "space dimension", "number", "block size", "blocksize"),
    *("old min", "oldmin", "old max", "oldmax", "line skip", "lineskip", "byte skip", "byteskip"),
)
_NRRD_TEXTS = ("content", "sample units", "sampleunits", "data file", "datafile")

_METAIMAGE_AXES = ("DimSize", "Offset", "Position", "Origin", "ElementSpacing", "ElementSize", "CenterOfRotation")
_METAIMAGE_MATRICES = ("TransformMatrix", "Orientation", "Rotation")
_METAIMAGE_COMMENT = "Comment"

_NIFTI_BYTES = 348
_NIFTI_FIRST_VOXEL = 352
"""Behind a header in one file with its voxels: 348, and four that announce extensions."""
_NIFTI_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64, 1536: 128}
_NIFTI_BITS |= {1792: 128, 2048: 256, 2304: 32}
_NIFTI_MAX_EXTENSIONS = 2**24


@dataclass(frozen=True)
class TextHeader:
    """A header made of lines.

    Attributes:
        fields: by name; of NRRD in small letters, key/value pairs left out.
        end: where the voxels begin if they are in the same file; None if the file ends with its header.
    """

    fields: dict[str, str]
    end: int | None


def read_nrrd_header(path: Path) -> TextHeader:
    """The header of an NRRD file.

    Raises:
        InputError: not an NRRD file, or its header cannot be right.
    """
    start = _start(path)
    if not start.startswith(b"NRRD"):
        raise of_another_format(path, cut_off=len(start) < len("NRRD"))
    end = re.search(rb"\r?\n\r?\n", start)
    if end is None and len(start) == _MAX_HEADER_BYTES:
        raise _damaged(path, "it is endless")
    text = (start[: end.start()] if end else start).decode("latin-1").replace("\r\n", "\n")
    if "\r" in text:
        raise _damaged(path, "a line holds another")  # teem takes it for the end of one
    fields: dict[str, str] = {}
    for line in text.split("\n")[1:]:
        if len(line) > _MAX_LINE:
            raise _damaged(path, "a line is endless")
        # As teem has it: what stands before ": " is a field's name, whatever follows, and may else be a key with its ":=".
        if not line or line.startswith("#") or ":=" in line.partition(": ")[0]:
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or name in fields:
            raise _damaged(path, "a line is no field" if not colon else f"'{_shown(name)}' is there twice")
        fields[name] = value
        if name in ("data file", "datafile") and value.upper().startswith("LIST"):
            break  # the names follow
    _check_nrrd(path, fields)
    return TextHeader(fields, end.end() if end else None)


def _check_nrrd(path: Path, fields: dict[str, str]) -> None:
    axes = _axes(path, fields.get("dimension", ""), _MAX_AXES["nrrd"])
    for name, value in fields.items():
        if name in _NRRD_AXES or name in _NRRD_SPACE:
            found = _listed(_NRRD_AXES.get(name) or _NRRD_SPACE[name], value)
            right = found is not None and (len(found) == axes if name in _NRRD_AXES else len(found) <= _MAX_AXES["nrrd"])
            if not right or any(_too_long(one) for one in found or ()):
                raise _damaged(path, f"'{name}' does not fit its {axes} axes")
        elif name in _NRRD_WORDS:
            if len(value) > _MAX_WORD:
                raise _damaged(path, f"'{name}' is too long")
        elif name in _NRRD_TEXTS:
            if name != "content" and len(value) > _MAX_TEXT:
                raise _damaged(path, f"'{name}' is too long")
        else:
            raise _damaged(path, f"it has no field '{_shown(name)}'")


def _listed(pattern: str, value: str) -> list[str] | None:
    """The values of a list; None if something else is between them."""
    found = re.findall(pattern, value)
    return found if re.sub(pattern, "", value).strip() == "" else None


def _too_long(value: str) -> bool:
    """Whether a number, a text or a vector is longer than any can be, or a vector has too many components."""
    if value.startswith("("):
        parts = value[1:-1].split(",")
        return len(parts) > _MAX_AXES["nrrd"] or any(len(one.strip()) > _MAX_WORD for one in parts)
    return len(value) > (_MAX_TEXT if value.startswith('"') else _MAX_WORD)


def read_metaimage_header(path: Path) -> TextHeader:
    """The header of a MetaImage file; its last field is ElementDataFile.

    Raises:
        InputError: not a MetaImage file, or its header cannot be right.
    """
    start = _start(path)
    # ElementDataFile is the last line of the header: what follows are voxels.
    found = re.search(rb"^[ \t]*ElementDataFile[ \t]*[=:]([^\r\n]*)(\r?\n|\Z)", start, re.MULTILINE)
    if found is None:
        raise of_another_format(path, cut_off=re.match(rb"\s*\w*[ \t]*([=:]|\Z)", start) is not None)
    fields: dict[str, str] = {}
    for line in start[: found.start()].decode("latin-1").splitlines():
        field = re.match(r"\s*(\w+)\s*[=:]", line)
        # ITK makes something of a damaged line, and another something than this.
        if line.strip() and (field is None or field[1] in fields or not line.isprintable()):
            raise _damaged(path)
        if field is not None:
            fields[field[1]] = line[field.end() :].strip()
    fields["ElementDataFile"] = found[1].decode("latin-1").strip(" \t")
    _check_metaimage(path, fields)
    return TextHeader(fields, found.end())


def _check_metaimage(path: Path, fields: dict[str, str]) -> None:
    axes = _axes(path, fields.get("NDims", ""), _MAX_AXES["metaimage"])
    for name, value in fields.items():
        if name in _METAIMAGE_AXES or name in _METAIMAGE_MATRICES:
            numbers = value.split()
            if len(numbers) != (axes if name in _METAIMAGE_AXES else axes**2) or max(map(len, numbers)) > _MAX_WORD:
                raise _damaged(path, f"'{name}' does not fit its {axes} axes")
        elif len(name) > _MAX_WORD or (name != _METAIMAGE_COMMENT and len(value) > _MAX_TEXT):
            raise _damaged(path, f"'{_shown(name)}' is too long")


def check_nifti_header(path: Path) -> None:
    """Make sure that the header of a NIfTI-1 file can be right.

    Raises:
        InputError: it is not NIfTI-1 with its voxels in the same file, or it cannot be right.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            start = stream.read(_NIFTI_FIRST_VOXEL)
            if len(start) < _NIFTI_FIRST_VOXEL:
                raise of_another_format(path, cut_off=True)
            order = next((one for one in "<>" if struct.unpack(f"{one}i", start[:4])[0] == _NIFTI_BYTES), None)
            if order is None or start[344:348] != b"n+1\0":
                raise of_another_format(path)
            axes, *sizes = struct.unpack(f"{order}8h", start[40:56])
            kind, bits = struct.unpack(f"{order}2h", start[70:74])
            (first,) = struct.unpack(f"{order}f", start[108:112])
            if not 1 <= axes <= _MAX_AXES["nifti"] or min(sizes[:axes]) < 1 or _NIFTI_BITS.get(kind) != bits:
                raise _damaged(path)
            if not math.isfinite(first) or not _NIFTI_FIRST_VOXEL <= first <= _NIFTI_MAX_EXTENSIONS:
                raise _damaged(path)  # ITK would take bytes of the header for voxels
            if start[_NIFTI_BYTES]:
                _check_extensions(path, stream.read(int(first) - _NIFTI_FIRST_VOXEL), order)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DamagedError(f"{path.name} is damaged or cut off ({error}); get the file again.") from error


def _check_extensions(path: Path, extensions: bytes, order: str) -> None:
    place = 0
    while place + 8 <= len(extensions):
        (size,) = struct.unpack_from(f"{order}i", extensions, place)
        if size < 8 or place + size > len(extensions):
            raise _damaged(path, "an extension of it does not end")
        place += size


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_HEADER_BYTES)


def _axes(path: Path, told: str, most: int) -> int:
    if not (told.isascii() and told.isdigit() and len(told) <= _MAX_WORD and 1 <= int(told) <= most):
        raise _damaged(path, f"it has '{_shown(told)}' axes")
    return int(told)


def _shown(value: str) -> str:
    return value if len(value) <= _MAX_WORD else f"{value[:_MAX_WORD]}..."


def of_another_format(path: Path, *, cut_off: bool = False) -> InputError:
    """The sentence about a file whose content is not what its name says, or ends before it says what it is."""
    kind = DamagedError if cut_off else InputError
    return kind(f"{path.name} cannot be read; it may be damaged, or of another format than its name says.")


def _damaged(path: Path, how: str = "") -> InputError:
    return DamagedError(f"{path.name} cannot be read (its header is damaged{': ' if how else ''}{how}); get the file again.")
