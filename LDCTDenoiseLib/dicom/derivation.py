"""Describe a derived image in its header: which program and model changed it, and from which image."""

from __future__ import annotations

import uuid
from datetime import datetime

from pydicom.dataset import Dataset

from ..errors import counted
from ..models.provenance import Provenance
from ..version import __version__

SOFTWARE = "LDCTDenoise"
RESEARCH_NOTE = "For research, not for diagnosis."
_UID_NAMESPACE = uuid.UUID("6f0e0f4e-6d0b-5a3c-9a55-2f1d8a4c7b10")
# PS3.16: CID 7203 has no code for denoising; Smoothing is the nearest, and the description says the rest.
_SMOOTHING = ("113087", "Smoothing")
_PROCESSING_EQUIPMENT = ("109102", "Processing Equipment")
_SOURCE_IMAGE = ("121322", "Source image for image processing operation")


def recipe(made: Provenance) -> str:
    """What made a result, in one line of text, as it stands in the files."""
    further = "".join(f", {name} {value}" for name, value in made.further_options().items())
    return (
        f"{SOFTWARE} {made.software}, model {made.model[:64]}, sha256 {made.model_hash}, "
        f"{counted(made.levels, 'level')}, blend {made.options.blend:g}{further}"
    )


def description(made: Provenance, index: int) -> str:
    """Of one slice of the output."""
    denoised = made.slices[0] <= index < made.slices[1]
    return f"{'Denoised' if denoised else 'Copied without a change'} by {recipe(made)}. {RESEARCH_NOTE}"


def derived_uid(*parts: object) -> str:
    """A UID that follows from its parts: the same input and result give the same, anything else another (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_UID_NAMESPACE, '|'.join(map(str, parts))).int}"


def code_item(code: tuple[str, str]) -> Dataset:
    """A code of the DICOM controlled terminology as a sequence item."""
    item = Dataset()
    item.CodeValue, item.CodeMeaning = code
    item.CodingSchemeDesignator = "DCM"
    return item


def derivation_code() -> Dataset:
    """Item of a DerivationCodeSequence."""
    return code_item(_SMOOTHING)


def equipment_item(description: str, now: datetime) -> Dataset:
    """Item of a ContributingEquipmentSequence."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code_item(_PROCESSING_EQUIPMENT)]
    item.Manufacturer = item.ManufacturerModelName = SOFTWARE
    item.SoftwareVersions = __version__
    item.ContributionDateTime = now.strftime("%Y%m%d%H%M%S.%f%z")
    item.ContributionDescription = description
    return item


def is_derived(header: Dataset) -> bool:
    """Whether this program made an image."""
    return any(item.get("Manufacturer") == SOFTWARE for item in header.get("ContributingEquipmentSequence") or ())


def reference_item(sop_class: str, sop_instance: str, frame: int | None) -> Dataset:
    """Reference to an image, or to one frame of it (from 0)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
    if frame is not None:
        item.ReferencedFrameNumber = frame + 1
    return item


def source_image_item(sop_class: str, sop_instance: str, frame: int | None) -> Dataset:
    """Item of a SourceImageSequence."""
    item = reference_item(sop_class, sop_instance, frame)
    item.SpatialLocationsPreserved = "YES"
    item.PurposeOfReferenceCodeSequence = [code_item(_SOURCE_IMAGE)]
    return item
