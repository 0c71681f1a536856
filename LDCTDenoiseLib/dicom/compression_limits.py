"""Refuse DICOM files that unpack to more than they claim, before anything is unpacked into memory.

pydicom inflates a deflated file whole before it looks at it, and decoders of JPEG pictures trust the size in the picture and not
the one in the header: a file of a megabyte takes gigabytes and minutes.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.filereader import _read_file_meta_info, read_dataset, read_preamble
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from ..errors import InputError
from ..system.memory import check_memory

_BLOCK = 2**20
_ANY_HEADER = 64 * _BLOCK
"""Bytes that a deflated file may always unpack to: more than any header, less than hurts."""
_PIXEL_DATA = 0x7FE00010
_SIZE_SEGMENTS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""JPEG markers (FFxx) of segments that hold the picture's size: start of frame, JPEG-LS's included."""
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def check_inflated_size(path: Path) -> None:
    """Refuse a deflated file that holds much more than the image that its header describes.

    Raises:
        InputError: it does, or the image is larger than the memory.
        InvalidDicomError: the file is not DICOM.
    """
    with path.open("rb") as file:
        read_preamble(file, force=False)
        # Private, but it leaves the file where pydicom inflates from, whatever length the meta information claims to have.
        if _read_file_meta_info(file).get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        blocks = _inflate(file)
        start = b""
        for block in blocks:
            start += block
            if len(start) >= _ANY_HEADER:
                break
        else:
            return
        allowed = _image_bytes(path, start) + _ANY_HEADER
        total = len(start)
        for block in blocks:
            total += len(block)
            if total > allowed:
                raise InputError(
                    f"{path.name} unpacks to more than the image that its header describes; it is damaged or hostile."
                )


def _inflate(file: BinaryIO) -> Iterator[bytes]:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    while not stream.eof:
        packed = stream.unconsumed_tail or file.read(_BLOCK)
        if not packed:
            return  # breaks off: the reader will tell
        yield stream.decompress(packed, _BLOCK)


def _image_bytes(path: Path, start: bytes) -> int:
    """Size of the image that the header at the start of an inflated file describes."""
    header = read_dataset(BytesIO(start), False, True, stop_when=lambda tag, vr, length: tag >= _PIXEL_DATA)
    size = [int(header.get(tag) or 1) for tag in ("NumberOfFrames", "Rows", "Columns")]
    check_memory(path.name, size, 2)
    return math.prod(size) * int(header.get("BitsAllocated") or 16) // 8


def check_picture_sizes(dataset: Dataset, path: Path) -> None:
    """Refuse compressed frames whose pictures are not of the size that the header tells.

    Args:
        dataset: with its pixels, still encoded.
        path: of the file, for the sentence.

    Raises:
        InputError: a picture has another size, or none can be found in it.
    """
    syntax = UID(dataset.file_meta.get("TransferSyntaxUID") or "")
    if not (syntax.is_transfer_syntax and syntax.is_encapsulated) or syntax == RLELossless:  # RLE: no size in it
        return
    told = (int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel") or 1))
    for frame in generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)):
        found = _picture_size(frame)
        if found != told:
            raise InputError(
                f"The pixels of {path.name} cannot be read (a picture's size is not the header's); get the file again."
            )


def _picture_size(frame: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, samples) of a JPEG, JPEG-LS or JPEG 2000 picture; None if it is none of them."""
    codestream = frame.find(b"\xff\x4f\xff\x51", 0, 4096)  # JPEG 2000: start of codestream, size; some put a JP2 header before
    if codestream >= 0:
        try:
            right, bottom, left, top = struct.unpack_from(">4I", frame, codestream + 8)
            (samples,) = struct.unpack_from(">H", frame, codestream + 40)
        except struct.error:
            return None
        return bottom - top, right - left, samples
    place = 2
    while frame[:2] == b"\xff\xd8" and place + 9 < len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker in _SIZE_SEGMENTS:
            rows, columns, samples = struct.unpack_from(">HHB", frame, place + 5)
            return rows, columns, samples
        if marker == 0xFF:  # a fill byte
            place += 1
        elif marker in _WITHOUT_LENGTH:
            place += 2
        else:
            place += 2 + struct.unpack_from(">H", frame, place + 2)[0]
    return None
