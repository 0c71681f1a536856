"""Text that does not fit its character set: its bytes are written as they were read.

pydicom decodes such text with replacement characters. A patient whose name lost a letter is another patient to an archive.
"""

from __future__ import annotations

import copy
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import writers
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, VR

_DEFAULT = ["iso8859"]
_PADDING = b" \0"


class _TextAsRead(DataElement):
    """An element whose text cannot be written again from its characters."""

    as_read: tuple[bytes, Any]
    """Bytes and value."""


def decode_all(dataset: Dataset, encodings: list[str] | None = None) -> None:
    """Decode all values, which pydicom puts off, and keep the bytes of text that does not fit its character set.

    Args:
        dataset: as read from a file. Changed.
        encodings: of the data set around it.
    """
    named = dataset.get("SpecificCharacterSet")
    encodings = convert_encodings(named) if named else encodings or _DEFAULT
    for tag in list(dataset.keys()):
        raw = dataset.get_item(tag)
        element = dataset[tag]
        if element.VR == VR.SQ:
            for item in element.value:
                decode_all(item, encodings)
            continue
        is_text = isinstance(raw, RawDataElement) and element.VR in CUSTOMIZABLE_CHARSET_VR and raw.value
        if is_text and not _can_be_written_again(raw.value, element, encodings):
            kept = _TextAsRead(tag, element.VR, element.value, already_converted=True)
            kept.private_creator = element.private_creator
            kept.as_read = bytes(raw.value), copy.copy(element.value)
            dataset[tag] = kept


def _can_be_written_again(raw: bytes, element: DataElement, encodings: list[str]) -> bool:
    if raw.isascii() and b"\x1b" not in raw:
        return True
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write: Any = writers[VR(element.VR)][0]
    try:
        write(buffer, element, encodings=encodings)
    except (UnicodeError, ValueError, LookupError):
        return False
    return buffer.getvalue().rstrip(_PADDING) == raw.rstrip(_PADDING)


def put_bytes_back(dataset: Dataset) -> None:
    """Before a data set is written: give the bytes back to text that is as it was read."""
    for element in list(dataset):
        if element.VR == VR.SQ:
            for item in element.value:
                put_bytes_back(item)
        elif isinstance(element, _TextAsRead) and element.value == element.as_read[1]:
            raw = element.as_read[0] + b" " * (len(element.as_read[0]) % 2)
            dataset[element.tag] = RawDataElement(element.tag, element.VR, len(raw), raw, 0, False, True)
