"""Small CT series in DICOM, written for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian

from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.errors import InputError

AXIAL = [1, 0, 0, 0, 1, 0]
ROWS, COLUMNS = 6, 8
STEP_MM = 2.5
STUDY = "1.2.826.0.1.3680043.8.498.9"
SERIES = "1.2.826.0.1.3680043.8.498.1"
OTHER_SERIES = "1.2.826.0.1.3680043.8.498.2"


def stored_values(number: int, kind: type = np.uint16) -> np.ndarray:
    """Stored values of a slice, different in every slice and pixel."""
    return (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) + 100 * number).astype(kind)


def make_slice(number: int = 0, tags: dict[str, object] | None = None, stored: np.ndarray | None = None) -> Dataset:
    """A CT slice at z = number * 2.5 mm. ``tags`` are set on top of the usual ones; None removes a tag."""
    stored = stored_values(number) if stored is None else stored
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{SERIES}.{number + 1}"
    dataset.PatientName = "Test^Phantom"
    dataset.Modality = "CT"
    dataset.StudyInstanceUID = STUDY
    dataset.FrameOfReferenceUID = f"{STUDY}.1"
    dataset.SeriesInstanceUID = SERIES
    dataset.SeriesNumber = 7
    dataset.SeriesDescription = "phantom"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient = [-12.5, 30.25, number * STEP_MM]
    dataset.ImageOrientationPatient = AXIAL
    dataset.PixelSpacing = [0.7, 0.8]
    dataset.SliceThickness = 3
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(np.issubdtype(stored.dtype, np.signedinteger))
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelData = stored.tobytes()
    for tag, value in (tags or {}).items():
        if value is None:
            delattr(dataset, tag)
        else:
            setattr(dataset, tag, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


def save_series(folder: Path, numbers: list[int], tags: dict[str, object] | None = None) -> None:
    for number in numbers:
        save(make_slice(number, tags), folder / f"{number}.dcm")


def make_enhanced(numbers: list[int], frame_tags: dict[str, object] | None = None) -> Dataset:
    """An enhanced multi-frame CT with a frame for each number, as :func:`make_slice` numbers its slices.

    Args:
        numbers: one for each frame, in the order of the file.
        frame_tags: set in the shared pixel value transformation.
    """
    first = make_slice(0)
    dataset = make_slice(0, {"SOPClassUID": EnhancedCTImageStorage, "NumberOfFrames": len(numbers)})
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(dataset, tag)
    for tag in ("RescaleSlope", "RescaleIntercept"):
        delattr(dataset, tag)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=first.PixelSpacing, SliceThickness=3)]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=AXIAL)]
    rescale = {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU", **(frame_tags or {})}
    shared.PixelValueTransformationSequence = [_item(**rescale)]
    shared.FrameVOILUTSequence = [_item(WindowCenter=40, WindowWidth=400)]
    shared.CTReconstructionSequence = [_item(ConvolutionKernel="B40f")]
    shared.CTXRayDetailsSequence = [_item(KVP=120)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    per_frame = []
    for index, number in enumerate(numbers):
        groups = Dataset()
        groups.PlanePositionSequence = [_item(ImagePositionPatient=[-12.5, 30.25, number * STEP_MM])]
        groups.FrameContentSequence = [_item(FrameAcquisitionNumber=1, StackID="1", InStackPositionNumber=index + 1)]
        groups.CTExposureSequence = [_item(XRayTubeCurrentInmA=200.4 + number, ExposureTimeInms=500.0, CTDIvol=8.5)]
        groups.CTImageFrameTypeSequence = [_item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])]
        per_frame.append(groups)
    dataset.PerFrameFunctionalGroupsSequence = per_frame
    dataset.PixelData = b"".join(stored_values(number).tobytes() for number in numbers)
    return dataset


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def refused(source: Path, uid: str | None = None) -> InputError:
    """The error of a series that cannot be read."""
    with pytest.raises(InputError) as error:
        read_ct_series(source, uid)
    return error.value
