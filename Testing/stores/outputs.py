"""Outputs as two runs at two times should have them."""

from __future__ import annotations

import io

import pydicom


def untimed(content: bytes) -> bytes:
    """A file without the times of its making; one that is not DICOM as it is."""
    if content[128:132] != b"DICM":
        return content
    image = pydicom.dcmread(io.BytesIO(content))
    for tag in ("ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime"):
        del image[tag]
    del image.ContributingEquipmentSequence[-1].ContributionDateTime
    with io.BytesIO() as written:
        image.save_as(written)
        return written.getvalue()
