"""What ``ldctdenoise series`` tells of each series: enough to choose one."""

from __future__ import annotations

from pathlib import Path

from pydicom.dataset import Dataset

from ..errors import InputError, counted
from .arrange import Acquisition, arrange
from .ct_series import read_slices, without_copies
from .find_series import SeriesFiles, find_series
from .read_file import damage_in


def list_series(source: Path) -> list[str]:
    """A few lines for every series, the UID first.

    Args:
        source: a folder with DICOM files, a DICOMDIR, or one DICOM file.

    Raises:
        InputError: there is none, or a file is damaged so that its series is unknown.
    """
    found = find_series(source, allow_missing=True)
    if not found.series:
        told = f" (files left out: {found.left_out_in_words})" if found.left_out else ""
        raise InputError(f"{source} holds no series of slices in DICOM{told}; give the folder of one.")
    return [f"{series.uid}\n{_describe(series)}" for series in found.series]


def _describe(series: SeriesFiles) -> str:
    lines = [series.description or "no description"]
    if series.damaged:
        lines.append(f"{series.damaged[0].name} is cut off before its image")
    elif series.modality != "CT":
        lines.append(f"{series.modality}, {counted(series.images, 'image')}: no CT")
    else:
        try:
            with damage_in(series.paths[0]):
                lines += _describe_slices(series)
        except InputError as error:
            lines.append(f"cannot be denoised: {error}")
    return "\n".join(f"    {line}" for line in lines)


def _describe_slices(series: SeriesFiles) -> list[str]:
    slices = without_copies(read_slices(series, force=True))
    header = slices[0].header
    lines = [f"kernel {_kernel(header)}; {_dose(header)}"]
    for acquisition in arrange(slices):
        lines.append(_geometry(acquisition))
        if acquisition.gap:
            lines.append(acquisition.gap)
    kind = str(header.get("RescaleType") or "HU")
    if kind != "HU":
        lines.append(f"its values are {kind} and not HU")
    return lines


def _geometry(acquisition: Acquisition) -> str:
    slices = acquisition.slices
    (rows, columns), (row_spacing, column_spacing) = slices[0].shape, slices[0].spacing
    thickness = slices[0].header.get("SliceThickness")
    parts = [
        f"{counted(len(slices), 'slice')} of {rows} x {columns}",
        f"{row_spacing:.4g} x {column_spacing:.4g} mm",
    ]
    if len(slices) > 1:
        parts.append(f"every {acquisition.step:.4g} mm")
    if thickness:
        parts.append(f"{float(thickness):g} mm thick")
    if acquisition.tilt_degrees:
        parts.append(f"gantry tilt {acquisition.tilt_degrees:.1f} degrees")
    return ", ".join(parts)


def _kernel(header: Dataset) -> str:
    kernel = header.get("ConvolutionKernel")
    if not kernel:
        return "not told"
    return kernel if isinstance(kernel, str) else " ".join(map(str, kernel))


def _dose(header: Dataset) -> str:
    """What the header tells of the dose."""
    told = [
        f"{float(header[tag].value):g} {unit}"
        for tag, unit in (("KVP", "kV"), ("XRayTubeCurrent", "mA"), ("Exposure", "mAs"))
        if header.get(tag) is not None
    ]
    if header.get("CTDIvol") is not None:
        told.append(f"CTDIvol {float(header.CTDIvol):g} mGy")
    return ", ".join(told) or "dose not told"
