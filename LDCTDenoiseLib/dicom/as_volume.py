"""A CT series as one volume on a regular grid, as volume files need it."""

from __future__ import annotations

import math
from pathlib import Path

from ..ct.scan import Geometry, Scan
from ..errors import InputError
from .arrange import name_of
from .ct_series import CTSeries, read_ct_series
from .find_series import SeriesFiles


def read_dicom_volume(
    source: Path | SeriesFiles, uid: str | None = None, *, force: bool = False, allow_missing: bool = False
) -> Scan:
    """Read a CT series whose slices make a volume.

    Args:
        source: a folder with DICOM files, a DICOMDIR, one DICOM file, or a series that was found before.
        uid: SeriesInstanceUID; needed when there are several CT series.
        force: take another modality, or values that are not HU, for CT in HU.
        allow_missing: leave out what may be slices and cannot be read.

    Returns:
        The slices in the order of the acquisition.

    Raises:
        InputError: as :func:`read_ct_series`, and for gaps, gantry tilt, several acquisitions and a single slice without
            thickness.
    """
    series = read_ct_series(source, uid, force=force, allow_missing=allow_missing)
    _check_grid(series)
    acquisition = series.acquisitions[0]
    first = acquisition.slices[0]
    directions = tuple(tuple(one.tolist()) for one in (first.normal, first.down, first.across))
    return Scan(
        series.hu,
        Geometry((acquisition.step, *first.spacing), tuple(first.position.tolist()), directions),  # type: ignore[arg-type]
        series.padding,
    )


def _check_grid(series: CTSeries) -> None:
    name = name_of(series.slices)
    if len(series.acquisitions) > 1:
        raise InputError(
            f"{name[0].upper()}{name[1:]} holds {len(series.acquisitions)} acquisitions, and a volume file one; denoise to a "
            "DICOM folder, where each becomes a series."
        )
    acquisition = series.acquisitions[0]
    if acquisition.gap:
        raise InputError(f"{acquisition.gap}; denoise to a DICOM folder, or complete the series.")
    if not 0 < acquisition.step < math.inf:
        raise InputError(
            f"The only slice of {name} has a SliceThickness of {acquisition.step:g} mm, which a volume file cannot hold; denoise "
            "to a DICOM folder, or correct the header."
        )
    if acquisition.tilt_degrees:
        raise InputError(
            f"The slices of {name} are shifted against each other (gantry tilt of {acquisition.tilt_degrees:.1f} degrees), "
            "which a volume file cannot hold; denoise to a DICOM folder, or straighten the series first."
        )
