"""A CT series from a folder of DICOM files, as one volume in HU."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from .errors import InputError

POSITION_TOLERANCE_MM = 0.02
SPACING_TOLERANCE = 0.1
"""Share of the slice distance by which a step may differ: positions are often rounded, a missing slice is a whole step."""
_HEADER_TAGS = [
    "Modality",
    "SeriesInstanceUID",
    "SeriesDescription",
    "SeriesNumber",
    "ImageType",
    "Rows",
    "NumberOfFrames",
    "SamplesPerPixel",
]

_NUMBERS_NEEDED = {
    "ImagePositionPatient": 3,
    "ImageOrientationPatient": 6,
    "PixelSpacing": 2,
    "RescaleSlope": 1,
    "RescaleIntercept": 1,
}


def read_dicom_series(folder: Path, series: str | None = None) -> tuple[sitk.Image, float | None]:
    """Read a CT series: slices sorted by position, rescaled to HU.

    Args:
        folder: searched with its sub-folders; files that are not DICOM are passed over.
        series: SeriesInstanceUID; needed when there are several CT series.

    Returns:
        The image with its geometry, and the HU of padding voxels if the header names a padding value.

    Raises:
        InputError: no CT series, several without a choice, or slices that do not make a volume.
    """
    paths = _choose(_ct_series(folder), folder, series)
    slices = [_read_slice(path) for path in paths]
    slices, step = _sorted_by_position(slices)
    hu = _stack_hu(slices)
    image = sitk.GetImageFromArray(hu)
    first = slices[0]
    row_spacing, column_spacing = (float(v) for v in first.PixelSpacing)
    across, down = _orientation(first)
    normal = np.cross(across, down)
    image.SetSpacing((column_spacing, row_spacing, step))
    image.SetOrigin(_position(first).tolist())
    image.SetDirection(np.stack([across, down, normal], axis=1).ravel().tolist())
    return image, _padding_hu(first)


def _ct_series(folder: Path) -> dict[str, list[tuple[Path, Dataset]]]:
    """Files with CT images by SeriesInstanceUID; localizers and colour screenshots are left out."""
    found: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        header = _header(path)
        if header is None:
            continue
        is_image = header.get("Modality") == "CT" and header.get("Rows") is not None
        is_colour = (header.get("SamplesPerPixel") or 1) > 1
        if is_image and not is_colour and "LOCALIZER" not in (header.get("ImageType") or ()):
            found[str(header.get("SeriesInstanceUID", ""))].append((path, header))
    return found


def _header(path: Path) -> Dataset | None:
    """The tags that choose a series; None when the file is not DICOM."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_HEADER_TAGS)
        list(header)  # decodes the values, which pydicom puts off
    except InvalidDicomError:
        return None
    except Exception as error:  # of many kinds, when a header is damaged
        raise _unreadable(path, error) from error
    return header


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path.name} cannot be read ({_first_line(error)}); get the file again, or leave it out.")


def _choose(found: dict[str, list[tuple[Path, Dataset]]], folder: Path, series: str | None) -> list[Path]:
    if not found:
        raise InputError(f"{folder} holds no CT image in DICOM; give the folder of a CT series or a volume file.")
    listing = "; ".join(
        f"{uid} ({members[0][1].get('SeriesDescription', 'no description')}, {len(members)} files)"
        for uid, members in found.items()
    )
    if series is None and len(found) > 1:
        raise InputError(f"{folder} holds {len(found)} CT series; choose one with --series UID: {listing}.")
    uid = series or next(iter(found))
    if uid not in found:
        raise InputError(f"{folder} has no CT series {uid}; it holds {listing}.")
    if any(int(header.get("NumberOfFrames") or 1) > 1 for _, header in found[uid]):
        raise InputError("The series is enhanced multi-frame DICOM, which is not read yet; convert it to a volume file.")
    return [path for path, _ in found[uid]]


def _read_slice(path: Path) -> Dataset:
    try:
        dataset = pydicom.dcmread(path)
        lacking = [tag for tag, count in _NUMBERS_NEEDED.items() if _how_many_numbers(dataset.get(tag)) != count]
    except Exception as error:  # of many kinds, when a value is damaged
        raise _unreadable(path, error) from error
    if lacking:
        raise InputError(f"{path.name} lacks {lacking[0]}, without which a CT slice has no place or no HU; leave it out.")
    return dataset


def _how_many_numbers(value: object) -> int:
    return 0 if value is None else np.array(value, float).size


def _position(dataset: Dataset) -> np.ndarray:
    return np.array([float(v) for v in dataset.ImagePositionPatient])


def _orientation(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([float(v) for v in dataset.ImageOrientationPatient])
    return values[:3], values[3:]


def _sorted_by_position(slices: list[Dataset]) -> tuple[list[Dataset], float]:
    """Slices from the lowest to the highest position along their normal, and their distance in mm."""
    name = f"series {slices[0].get('SeriesNumber') or ''}".strip()
    first = slices[0]
    across, down = _orientation(first)
    for other in slices[1:]:
        if not np.allclose(np.concatenate(_orientation(other)), np.concatenate([across, down]), atol=1e-3):
            raise InputError(f"The slices of {name} have different orientations; give the axial ones alone.")
        if (other.Rows, other.Columns) != (first.Rows, first.Columns) or other.PixelSpacing != first.PixelSpacing:
            raise InputError(f"The slices of {name} differ in matrix or pixel spacing; give one acquisition alone.")
    normal = np.cross(across, down)
    slices = sorted(slices, key=lambda one: float(_position(one) @ normal))
    if len(slices) == 1:
        return slices, float(first.get("SliceThickness") or 1.0)
    positions = np.array([_position(one) for one in slices])
    steps = np.diff(positions @ normal)
    expected = float(np.percentile(steps, 50, method="lower"))  # a step that occurs: the median of 5 and 10 does not
    if steps.min() < POSITION_TOLERANCE_MM:
        number = int(np.argmin(steps)) + 1
        raise InputError(f"Slices {number} and {number + 1} of {name} lie at the same place; give one acquisition alone.")
    wrong = np.abs(steps - expected) > SPACING_TOLERANCE * expected
    if wrong.any():
        number = int(np.argmax(wrong)) + 1
        raise InputError(
            f"Slice positions of {name} jump by {steps[number - 1]:g} mm after slice {number} (expected {expected:g} mm): "
            "a slice is missing; complete the series."
        )
    shift = positions - positions[0] - np.outer((positions - positions[0]) @ normal, normal)
    if np.abs(shift).max() > max(POSITION_TOLERANCE_MM, 0.1 * float(first.PixelSpacing[0])):
        raise InputError(
            f"The slices of {name} are shifted against each other (gantry tilt), which a volume file cannot hold; "
            "straighten the series first."
        )
    return slices, float((positions[-1] - positions[0]) @ normal / (len(slices) - 1))


def _stack_hu(slices: list[Dataset]) -> np.ndarray:
    """HU of all slices in the smallest of int16, int32 and float32 that holds them exactly."""
    parts = []
    for one in slices:
        try:
            stored = one.pixel_array
        except (ValueError, RuntimeError, AttributeError, NotImplementedError) as error:
            raise InputError(
                f"The pixels of {Path(str(one.filename)).name} cannot be read ({_first_line(error)}); get the file again, or, "
                "if it is compressed, pip install 'ldctdenoise[dicom]'."
            ) from error
        slope, intercept = float(one.RescaleSlope), float(one.RescaleIntercept)
        if slope.is_integer() and intercept.is_integer():
            parts.append(stored.astype(np.int32) * np.int32(slope) + np.int32(intercept))
        else:
            parts.append((stored * slope + intercept).astype(np.float32))
    hu = np.stack(parts)
    if np.issubdtype(hu.dtype, np.integer) and hu.min() >= -(2**15) and hu.max() < 2**15:
        return hu.astype(np.int16)
    return hu.astype(np.float32) if hu.dtype == np.float64 else hu


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _padding_hu(dataset: Dataset) -> float | None:
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    stored = int(value)
    if dataset.PixelRepresentation == 1 and stored >= 2 ** (dataset.BitsAllocated - 1):
        stored -= 2**dataset.BitsAllocated  # a negative value that the scanner wrote as unsigned
    return stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
