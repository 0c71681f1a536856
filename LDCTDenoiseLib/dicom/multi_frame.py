"""Enhanced multi-frame CT: each frame as the single-frame CT image that it would have been.

An enhanced file keeps what all frames share and what differs in functional groups, sequences of one item each
(PS3.3 C.7.6.16). Here their attributes come back to the top level, where a CT Image (PS3.3 A.3) has them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from ..errors import InputError

_RENAMED = {
    "FrameType": "ImageType",
    "FrameAcquisitionNumber": "AcquisitionNumber",
    "FrameAcquisitionDateTime": "AcquisitionDateTime",
    "FrameComments": "ImageComments",
}
_WHOLE_NUMBERS = {"ExposureTimeInms": "ExposureTime", "XRayTubeCurrentInmA": "XRayTubeCurrent", "ExposureInmAs": "Exposure"}
"""Decimals (FD) of an enhanced CT that a CT Image holds as integers (IS)."""
_KEPT_AS_SEQUENCE = ("ReferencedImageSequence",)
_NOT_OF_A_FRAME = (
    "DerivationImageSequence",  # replaced by the derivation that is written
    "RealWorldValueMappingSequence",  # of stored values, which change
    "ConversionSourceAttributesSequence",
    "ContrastBolusUsageSequence",  # refers to the agents by number, which a CT Image does not
)
_NOT_OF_A_CT_IMAGE = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "NumberOfFrames",
    "DimensionOrganizationSequence",
    "DimensionOrganizationType",
    "DimensionIndexSequence",
    "DimensionIndexValues",
    "StackID",
    "InStackPositionNumber",
    "TemporalPositionIndex",
    "ConcatenationUID",
    "SOPInstanceUIDOfConcatenationSource",
    "InConcatenationNumber",
    "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "FrameLaterality",
    "PresentationLUTShape",
    "PixelPresentation",
    "VolumetricProperties",
    "VolumeBasedCalculationTechnique",
    "ReferencedRawDataSequence",
)
_REQUIRED_MAY_BE_EMPTY = ("KVP", "AcquisitionNumber", "SliceThickness", "PositionReferenceIndicator", "PatientPosition")


def frame_headers(dataset: Dataset, path: Path) -> Iterator[Dataset]:
    """The header of every frame, as of a single-frame CT image; they share what all frames have.

    Raises:
        InputError: the functional groups do not fit the number of frames.
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or [Dataset()]
    if len(per_frame) != int(dataset.get("NumberOfFrames") or 0) or len(shared) != 1:
        raise InputError(f"{path.name} describes {len(per_frame)} of its frames; it is damaged: get the file again.")
    common = Dataset()
    for element in dataset:
        if element.keyword not in _NOT_OF_A_CT_IMAGE:
            common.add(element)
    agents = common.get("ContrastBolusAgentSequence")
    if agents and "ContrastBolusAgent" not in common:
        common.ContrastBolusAgent = str(agents[0].get("CodeMeaning") or "")
    for number, groups in enumerate(per_frame, 1):
        header = Dataset()
        header.update(common)
        for group in (*shared, groups):
            _add_groups(header, group)
        header.add_new("SOPClassUID", "UI", CTImageStorage)
        header.add_new("InstanceNumber", "IS", number)
        for keyword in _REQUIRED_MAY_BE_EMPTY:
            if keyword not in header:
                setattr(header, keyword, None)
        header.set_original_encoding(*dataset.original_encoding)
        header.file_meta = dataset.file_meta
        yield header


def _add_groups(header: Dataset, groups: Dataset) -> None:
    for sequence in groups:
        if sequence.keyword in _NOT_OF_A_FRAME:
            continue
        if sequence.VR != "SQ" or sequence.keyword in _KEPT_AS_SEQUENCE:
            header.add(sequence)
            continue
        for item in sequence.value[:1]:
            for element in item:
                if element.keyword in _WHOLE_NUMBERS and element.value is not None:
                    header.add_new(_WHOLE_NUMBERS[element.keyword], "IS", round(float(element.value)))
                elif element.keyword in _RENAMED:
                    renamed = Dataset()
                    setattr(renamed, _RENAMED[element.keyword], copy.deepcopy(element.value))
                    header.update(renamed)
                elif element.keyword not in _NOT_OF_A_CT_IMAGE:
                    header.add(element)
