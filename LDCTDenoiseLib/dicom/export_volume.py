"""A denoised volume that some program holds in memory, written as a derived series of the DICOM files it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..ct.hu import as_voxels
from ..errors import InputError
from ..models.provenance import Provenance
from .ct_series import CTSeries, read_ct_series
from .find_series import SeriesFiles
from .write_series import DicomOutput, write_derived_series

_DIRECTION_TOLERANCE = 1e-3


def export_volume(
    files: Sequence[Path],
    hu: np.ndarray,
    places: np.ndarray,
    across: np.ndarray,
    down: np.ndarray,
    folder: Path,
    made: Provenance,
) -> list[str]:
    """Write one file per slice, each with the geometry of its source and not that of the volume.

    Args:
        files: of the source series.
        hu: (slices, rows, columns), denoised.
        places: (slices, 3) of the centres of the slices' first voxels, LPS, mm.
        across, down: (3,) unit vectors along a row and along a column, LPS.
        folder: made; it must not hold anything.
        made: what was done; its slices count as in ``hu``.

    Returns:
        The new SeriesInstanceUIDs.

    Raises:
        InputError: a source file is missing or damaged, or the volume is not one of these files.
    """
    missing = next((path for path in files if not path.is_file()), None)
    if missing is not None or not files:
        raise InputError("The DICOM files of the source are not where they were; load the source from DICOM again.")
    series = read_ct_series(SeriesFiles("", "CT", "", list(files), len(files)))
    upwards = _check_same_grid(series, hu, places, across, down)
    if not upwards:
        count = len(hu)
        hu = hu[::-1]
        first, stop = made.slices
        made = replace(made, slices=(count - stop, count - first))
    voxels = as_voxels(hu, series.hu.dtype)
    if series.padding is not None:  # who holds a volume in memory knows only its HU, which may be those of air
        voxels[series.padding] = series.hu[series.padding]
    return write_derived_series(series, voxels, folder, made, DicomOutput())


def _check_same_grid(series: CTSeries, hu: np.ndarray, places: np.ndarray, across: np.ndarray, down: np.ndarray) -> bool:
    """Whether the volume's slices run the way the series' do.

    Slices are matched by their order: a volume may have spread uneven ones evenly, and straightened tilted ones.
    """
    slices = series.slices
    first = slices[0]
    if len(series.acquisitions) != 1 or hu.shape != series.hu.shape:
        raise InputError(
            f"The volume has the size {hu.shape}, and its DICOM files have {series.hu.shape}: it was cropped, resampled or "
            "loaded in parts; denoise the volume as it was loaded."
        )
    turned = not (
        np.allclose(across, first.across, atol=_DIRECTION_TOLERANCE) and np.allclose(down, first.down, atol=_DIRECTION_TOLERANCE)
    )
    heights = np.asarray(places) @ first.normal
    upwards = len(heights) == 1 or heights[-1] > heights[0]
    lowest = min(heights)
    moved = abs(lowest - first.position @ first.normal) > max(0.5 * series.acquisitions[0].step, 0.1)
    if turned or moved:
        raise InputError("The volume was turned or moved since it was loaded; denoise the volume as it was loaded.")
    return upwards
