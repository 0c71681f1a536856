"""The header of a derived slice: the source's, with a new identity, what was done, and without what is no longer true."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone

import numpy as np
from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from ..models.provenance import Provenance
from .derivation import (
    RESEARCH_NOTE,
    derivation_code,
    description,
    equipment_item,
    reference_item,
    source_image_item,
)
from .slices import OVERLAY_GROUPS, Slice

_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
_NO_LONGER_TRUE = (
    "PixelData",
    "NumberOfFrames",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "IconImageSequence",
    "PixelDataProviderURL",
    "InstanceCreatorUID",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "DataSetTrailingPadding",
)
LARGEST_SERIES_NUMBER = 2**31 - 1
"""Of DICOM's IS, either sign."""
_SERIES_DESCRIPTION_SUFFIX = " LDCTDenoise"
_LO_CHARACTERS, _ST_CHARACTERS, _LT_CHARACTERS = 64, 1024, 10240
_WORD_BYTES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}


def derived_header(source: Slice, index: int, made: Provenance, *, series_number_offset: int, keep_private: bool) -> Dataset:
    """All of a derived slice but its UIDs and pixels.

    Args:
        source: the slice that it is made from. Not changed.
        index: of the slice in the output, from 0.
        made: what was done.
        series_number_offset: added to the source's SeriesNumber.
        keep_private: keep private and unknown tags.
    """
    header = copy.deepcopy(source.header)
    _remove(header, keep_private=keep_private)
    if source.header.original_encoding[1] is False:  # big endian
        _swap_words(header)
    told = description(made, index)
    _describe(header, source, told)
    _refer(header, source)
    now = _now(header)
    header.ContentDate = header.InstanceCreationDate = now.strftime("%Y%m%d")
    header.ContentTime = header.InstanceCreationTime = now.strftime("%H%M%S.%f")
    equipment = list(header.get("ContributingEquipmentSequence") or ())
    header.ContributingEquipmentSequence = [*equipment, equipment_item(told, now)]
    header.SeriesNumber = _series_number(header, series_number_offset)
    if header.get("InstanceNumber") is None:
        header.InstanceNumber = index + 1
    if source.header.file_meta.get("TransferSyntaxUID") in _LOSSY and not header.get("LossyImageCompression"):
        header.LossyImageCompression = "01"
    return header


def _series_number(header: Dataset, offset: int) -> int:
    """The source's and the offset; the offset alone where the sum would leave the range of an IS."""
    number = int(header.get("SeriesNumber") or 0) + offset
    return number if abs(number) <= LARGEST_SERIES_NUMBER else offset


def _remove(header: Dataset, *, keep_private: bool) -> None:
    for keyword in _NO_LONGER_TRUE:
        if keyword in header:
            delattr(header, keyword)
    # An overlay without data of its own lay in the unused bits of the pixels, where it is no more.
    embedded = {group for group in OVERLAY_GROUPS if (group, 0x0010) in header and (group, 0x3000) not in header}
    header.walk(lambda dataset, element: _drop(dataset, element, embedded, keep_private))


def _drop(dataset: Dataset, element: DataElement, embedded: set[int], keep_private: bool) -> None:
    tag = element.tag
    unknown = tag.is_private or not (dictionary_has_tag(tag) or _is_repeater(tag.group))
    if tag.element == 0 or tag.group in embedded or (unknown and not keep_private):
        del dataset[tag]


def _is_repeater(group: int) -> bool:
    """Curves and overlays, whose groups the dictionary lists by pattern."""
    return group & 0xFF00 in (0x5000, 0x6000) and group % 2 == 0


def _swap_words(header: Dataset) -> None:
    """Binary words of a big-endian file as little-endian: pydicom passes them on as they are."""

    def swap(dataset: Dataset, element: DataElement) -> None:
        if isinstance(element.value, bytes) and element.VR in _WORD_BYTES:
            size = _WORD_BYTES[element.VR]
            element.value = np.frombuffer(element.value, f"u{size}").byteswap().tobytes()

    header.walk(swap)


def _describe(header: Dataset, source: Slice, description: str) -> None:
    kind = _values(header, "ImageType")
    # The third value of an enhanced image ("VOLUME") is none that a CT Image has.
    header.ImageType = ["DERIVED", "SECONDARY", *(kind[2:] if source.frame is None and kind[2:] else ["AXIAL"])]
    before = "\\".join(_values(header, "SeriesDescription"))[: _LO_CHARACTERS - len(_SERIES_DESCRIPTION_SUFFIX)]
    header.SeriesDescription = (before + _SERIES_DESCRIPTION_SUFFIX).strip()
    header.DerivationDescription = _appended(header.get("DerivationDescription"), description, _ST_CHARACTERS)
    header.DerivationCodeSequence = [*(header.get("DerivationCodeSequence") or ()), derivation_code()]
    header.ImageComments = _appended(header.get("ImageComments"), RESEARCH_NOTE, _LT_CHARACTERS)


def _values(header: Dataset, keyword: str) -> list[str]:
    """The texts of an element, of which pydicom gives a single one alone."""
    value = header.get(keyword) or ()
    return [value] if isinstance(value, str) else list(map(str, value))


def _appended(before: str | None, text: str, longest: int) -> str:
    if not before:
        return text
    return f"{str(before)[: longest - len(text) - 2]}\r\n{text}"


def _refer(header: Dataset, source: Slice) -> None:
    instance = str(source.header.SOPInstanceUID)
    header.SourceImageSequence = [source_image_item(source.source_class, instance, source.frame)]
    series = Dataset()
    series.SeriesInstanceUID = source.header.SeriesInstanceUID
    series.ReferencedInstanceSequence = [reference_item(source.source_class, instance, None)]
    others = [
        item for item in header.get("ReferencedSeriesSequence") or () if item.get("SeriesInstanceUID") != series.SeriesInstanceUID
    ]
    header.ReferencedSeriesSequence = [*others, series]


def _now(header: Dataset) -> datetime:
    """The time in the time zone that the header's times are in, if it names one."""
    zone = str(header.get("TimezoneOffsetFromUTC") or "")
    try:
        sign = {"+": 1, "-": -1}[zone[0]]
        return datetime.now(timezone(sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))))
    except (KeyError, IndexError, ValueError):
        return datetime.now().astimezone()
