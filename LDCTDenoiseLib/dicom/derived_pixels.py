"""The pixels of a derived slice: HU as stored values, in steps no coarser than 1 HU, padding as it was."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from .rescale import value_range
from .slices import PADDING_TAGS, Slice, padding_as_stored


def set_pixels(header: Dataset, source: Slice, source_hu: np.ndarray, hu: np.ndarray) -> None:
    """Write HU into a derived header, uncompressed and little-endian.

    The source's rescale is kept where its slope is 1 or less. A steeper one is made finer so that the source's HU stay
    exact, unless they no longer fit the source's bits. Values beyond what can be stored saturate.

    Args:
        header: of the derived slice. Changed.
        source: the slice that it is made from.
        source_hu: (rows, columns) of the source.
        hu: (rows, columns) to write.
    """
    allocated = max(16, int(source.header.BitsAllocated))
    rescale, factor = source.rescale.finer()
    low, high = value_range(allocated, signed=source.signed)
    stored_extremes = rescale.to_stored(np.array([source_hu.min(), source_hu.max()]))
    paddings = [value * factor for value in source.padding or ()]
    if not all(low <= value <= high for value in (*stored_extremes, *paddings)):
        rescale, factor = source.rescale, 1
    kept = factor == 1 and allocated == source.header.BitsAllocated and source.unused_bits
    bits = int(source.header.BitsStored) if kept else allocated
    stored = np.clip(rescale.to_stored(hu), *value_range(bits, signed=source.signed))

    header.SamplesPerPixel = 1
    header.BitsAllocated, header.BitsStored, header.HighBit = allocated, bits, bits - 1
    header.RescaleIntercept = source.header.get("RescaleIntercept", "0")
    header.RescaleSlope = source.header.get("RescaleSlope", "1") if factor == 1 else rescale.slope_text
    if factor != 1:
        _scale_padding(header, source, factor)
        if "RealWorldValueMappingSequence" in header:  # of stored values
            del header.RealWorldValueMappingSequence
    header.PixelData = stored.astype(f"<{'i' if source.signed else 'u'}{allocated // 8}").tobytes()
    header["PixelData"].VR = "OW"


def _scale_padding(header: Dataset, source: Slice, factor: int) -> None:
    for tag in PADDING_TAGS:
        value = header.get(tag)
        if value is not None:
            del header[tag]
            header.add_new(tag, "SS" if source.signed else "US", padding_as_stored(source.header, int(value)) * factor)
