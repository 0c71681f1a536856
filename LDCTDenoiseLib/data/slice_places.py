"""Where the slices of a volume lie in the patient, and which slices of two volumes lie at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ct.scan import Scan
from ..dicom.slices import Slice
from ..errors import InputError

STEP_SHARE = 0.1
"""Share of the slice distance by which the places of one slice may differ: positions are often rounded."""
_SINGLE_SLICE_MM = 0.1
_PIXEL_SHARE = 0.1


@dataclass(frozen=True)
class SlicePlaces:
    """The geometry of parallel slices.

    Attributes:
        corners: (slices, 3) mm, centre of each slice's first voxel.
        across, down: (3,) unit vectors along a row and along a column.
        spacing: (rows, columns), mm.
        shape: (rows, columns).
    """

    corners: np.ndarray
    across: np.ndarray
    down: np.ndarray
    spacing: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector across the slices, patient coordinates (LPS)."""
        return np.cross(self.across, self.down)


def places_of_slices(slices: Sequence[Slice]) -> SlicePlaces:
    """Of DICOM slices, in their order; all of one orientation and matrix."""
    first = slices[0]
    return SlicePlaces(np.array([one.position for one in slices]), first.across, first.down, first.spacing, first.shape)


def places_of_scan(scan: Scan) -> SlicePlaces:
    """Of a scan on a regular grid, in the order of its slices."""
    slices, rows, columns = scan.hu.shape
    _, down, across = np.array(scan.geometry.directions)
    corners = np.array([scan.geometry.place_of((index, 0, 0)) for index in range(slices)])
    return SlicePlaces(corners, across, down, scan.spacing, (rows, columns))


def match_slices(full: SlicePlaces, low: SlicePlaces) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the slices that both have, in the order of ``full``: two arrays of one length.

    Raises:
        InputError: matrix, pixels or orientation differ, or no slice lies where one of the other does. The sentence goes on
            from the name of what is paired.
    """
    if full.shape != low.shape:
        (rows, columns), (low_rows, low_columns) = full.shape, low.shape
        raise InputError(f"its slices have {rows}x{columns} and {low_rows}x{low_columns} pixels")
    if not np.allclose(full.spacing, low.spacing, rtol=1e-3):
        raise InputError(f"its pixels measure {_in_mm(full.spacing)} and {_in_mm(low.spacing)}")
    if not np.allclose([full.across, full.down], [low.across, low.down], atol=1e-2):
        raise InputError("its slices are oriented differently in the two doses")
    offsets = low.corners[None] - full.corners[:, None]
    along = offsets @ full.normal
    nearest = np.abs(along).argmin(axis=1)
    chosen = np.arange(len(nearest)), nearest
    aside = np.linalg.norm(offsets[chosen] - along[chosen][:, None] * full.normal, axis=1)
    same = (np.abs(along[chosen]) <= STEP_SHARE * min(_step(full), _step(low))) & (aside <= _PIXEL_SHARE * min(full.spacing))
    if not same.any():
        raise InputError("none of its slices lies at the same place in both doses")
    return np.flatnonzero(same), nearest[same]


def _step(places: SlicePlaces) -> float:
    if len(places.corners) < 2:
        return _SINGLE_SLICE_MM / STEP_SHARE
    return float(np.median(np.abs(np.diff(np.sort(places.corners @ places.normal)))))


def _in_mm(spacing: tuple[float, float]) -> str:
    return f"{spacing[0]:.4g} x {spacing[1]:.4g} mm"
