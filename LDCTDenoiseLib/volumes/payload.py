"""Check that a volume file's voxels agree with its header before memory is allocated for them.

ITK reads damaged MetaImage streams and cut-off NIfTI files without complaint, takes any size that a header claims for granted,
and opens whatever file a header names. So the voxel data are found here as the formats define them, unpacked block by block
into nothing, and compared with what the header claims: no more, no less, checksums right.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import DamagedError, InputError
from .headers import check_nifti_header, read_metaimage_header, read_nrrd_header

_BLOCK = 2**20
_LARGEST_GAIN = 1100
"""Deflate packs at most 1032 bytes into one."""


@dataclass(frozen=True)
class Payload:
    """Where the voxels of a volume file lie.

    Attributes:
        path: the file that holds them: the volume file, or the data file that its header names.
        offset: bytes before them.
        packing: "raw", "gzip", "zlib" (gzip or zlib, as MetaImage takes both) or "text" (numbers in letters).
        length: packed bytes that the reader will look at; None is all up to the file's end.
    """

    path: Path
    offset: int
    packing: str
    length: int | None = None


def check_payload(path: Path, payload: Payload, voxel_bytes: int, row_bytes: int) -> None:
    """Refuse a volume file whose voxel data are not what its header claims.

    Args:
        path: the volume file, for the sentence.
        payload: where its voxels lie.
        voxel_bytes: what the header claims: the unpacked size of all voxels.
        row_bytes: size of a row. Less than that behind the voxels is the padding of some writers; more means that the
            header claims too little.

    Raises:
        InputError: too few bytes, too many, or damaged ones.
    """
    if payload.packing == "text":
        return
    on_disk = payload.path.stat().st_size - payload.offset
    gain = 1 if payload.packing == "raw" else _LARGEST_GAIN
    if voxel_bytes > on_disk * gain:
        raise DamagedError(
            f"{path.name} is cut off or damaged: its header claims {voxel_bytes} bytes of voxels, "
            f"more than its {on_disk} bytes can hold; get the file again."
        )
    try:
        there = on_disk if payload.packing == "raw" else _unpacked_bytes(payload, voxel_bytes + row_bytes)
    except (EOFError, OSError, zlib.error) as error:
        raise DamagedError(f"{path.name} is damaged or cut off ({error}); get the file again.") from error
    if there < voxel_bytes:
        raise DamagedError(f"{path.name} is cut off: it holds {there} of {voxel_bytes} bytes of voxels; get the file again.")
    if there >= voxel_bytes + row_bytes:
        raise InputError(
            f"{path.name} holds more voxels than the {voxel_bytes} bytes that its header claims; "
            "one of the two is damaged: get the file again."
        )


def _unpacked_bytes(payload: Payload, enough: int) -> int:
    """Bytes that a packed payload unpacks to; counting stops at ``enough``, where a bomb would go on."""
    with payload.path.open("rb") as file:
        file.seek(payload.offset)
        blocks = _gunzip(file) if payload.packing == "gzip" else _inflate(file, payload.length or 0)
        total = 0
        for size in blocks:
            total += size
            if total >= enough:
                break
    return total


def _gunzip(file: BinaryIO) -> Iterator[int]:
    with gzip.open(file) as stream:
        while block := stream.read(_BLOCK):
            yield len(block)


def _inflate(file: BinaryIO, length: int) -> Iterator[int]:
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip or zlib, whichever it is
    while not stream.eof:
        packed = stream.unconsumed_tail
        if not packed:
            packed = file.read(min(length, _BLOCK))
            length -= len(packed)
        if not packed:
            raise EOFError("the packed voxels break off")
        yield len(stream.decompress(packed, _BLOCK))


def find_payload(path: Path, suffix: str) -> Payload:
    """Where a volume file's voxels lie.

    Args:
        path: the volume file.
        suffix: its format, as ``volume_file.volume_suffix`` says.

    Raises:
        InputError: not of this format, or its voxels lie where this library does not follow: in many files, outside the
            header's folder, in something that is no file.
    """
    if suffix in (".nrrd", ".nhdr"):
        return _nrrd_payload(path)
    if suffix in (".mha", ".mhd"):
        return _metaimage_payload(path)
    check_nifti_header(path)
    with path.open("rb") as file:
        return Payload(path, 0, "gzip" if file.read(2) == b"\x1f\x8b" else "raw")


def _nrrd_payload(path: Path) -> Payload:
    header = read_nrrd_header(path)
    fields = header.fields
    encoding = fields.get("encoding", "").lower()
    packing = {"raw": "raw", "gz": "gzip", "gzip": "gzip"}.get(encoding, "text")
    if packing == "text" and encoding not in ("txt", "text", "ascii", "hex"):
        raise InputError(f"{path.name} has the encoding '{encoding}', which is not read; save it as raw or gzip.")
    named = fields.get("data file", fields.get("datafile"))
    skipped = [fields.get(field, "0") for field in ("line skip", "lineskip", "byte skip", "byteskip")]
    if any(skip != "0" for skip in skipped):
        raise InputError(f"{path.name} skips a part of its data file, which is not supported; save it as one NRRD file.")
    if named is None:
        if header.end is None:
            raise DamagedError(f"{path.name} cannot be read (its header has no end); get the file again.")
        return Payload(path, header.end, packing)
    return Payload(_data_file(path, named), 0, packing)


def _metaimage_payload(path: Path) -> Payload:
    header = read_metaimage_header(path)
    fields = header.fields
    if fields.get("HeaderSize", "0") != "0":
        raise InputError(f"{path.name} skips a part of its data file, which is not supported; save it as one MetaImage file.")
    for key, usual in (("ElementToIntensityFunctionSlope", 1), ("ElementToIntensityFunctionOffset", 0)):
        if _number(fields.get(key, str(usual))) != usual:
            # ITK reads the voxels as they are and drops the rescale.
            raise InputError(f"{path.name} has an {key} other than {usual}, which is not applied; save it with its HU as voxels.")
    packed, binary = (fields.get(key, default)[:1] in "Tt1" for key, default in (("CompressedData", "F"), ("BinaryData", "T")))
    packing = "text" if not binary else "zlib" if packed else "raw"
    length = fields.get("CompressedDataSize", "0")
    if packing == "zlib" and not (length.isdecimal() and int(length)):
        # ITK makes voxels of whatever the memory holds.
        raise InputError(f"{path.name} does not say its CompressedDataSize, without which it cannot be read; save it again.")
    packed_bytes = int(length) if packing == "zlib" else None
    named = fields["ElementDataFile"]
    local = named.upper() == "LOCAL"
    return Payload(path if local else _data_file(path, named), header.end or 0 if local else 0, packing, packed_bytes)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _data_file(header: Path, named: str) -> Path:
    """The data file that a header names, if it lies in the header's folder: a header from a stranger may name any file."""
    if named.upper().startswith("LIST") or re.search(r"%\d*d", named):
        raise InputError(f"{header.name} spreads its voxels over many files; save it as one volume file.")
    if not named.isprintable():
        raise InputError(f"{header.name} cannot be read: its header is damaged where it names its data file; get the file again.")
    folder = header.absolute().parent.resolve()
    data = (folder / named).resolve()
    if not data.is_relative_to(folder):
        raise InputError(f"{header.name} names a data file outside its folder; put both into one folder and correct the header.")
    if not data.is_file():
        raise InputError(f"{header.name} cannot be read: the data file that it names, {Path(named).name}, is not there.")
    return data
