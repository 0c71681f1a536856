"""A CT scan in memory: voxels in HU, where they lie in the patient, and which are padding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import counted
from .orientation import axial_axis

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Geometry:
    """The regular grid of a scan, in the patient's coordinates (LPS, mm).

    Attributes:
        spacing: (slices, rows, columns) distance of neighbouring voxels, mm.
        origin: centre of the first voxel.
        directions: unit vectors along (slices, rows, columns): from slice to slice, down a column, along a row.
        axis: array axis (slowest first) that the slices had in the file; a volume file is written in this order.
        planar: whether the file held a single image of two axes.
    """

    spacing: Vector
    origin: Vector = (0.0, 0.0, 0.0)
    directions: tuple[Vector, Vector, Vector] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    axis: int = 0
    planar: bool = False

    def place_of(self, index: tuple[float, float, float]) -> Vector:
        """LPS of a voxel's centre, mm; the index is (slice, row, column)."""
        x, y, z = self.origin + np.multiply(index, self.spacing) @ np.array(self.directions)
        return float(x), float(y), float(z)

    def index_of(self, place: Vector) -> tuple[int, int, int]:
        """(slice, row, column) of the voxel at a place in LPS, mm; it may lie outside of the scan."""
        steps = np.array(self.directions).T * self.spacing
        along = np.linalg.solve(steps, np.subtract(place, self.origin))
        first, row, column = (int(n) for n in np.floor(along + 0.5))
        return first, row, column


@dataclass(frozen=True, eq=False)
class Scan:
    """Slices in HU.

    Attributes:
        hu: (slices, rows, columns), any real type.
        geometry: where they lie.
        padding: boolean mask, as ``hu``, of what the header calls padding; None when it does not say.
    """

    hu: np.ndarray
    geometry: Geometry
    padding: np.ndarray | None = None

    def __repr__(self) -> str:
        slices, rows, columns = self.hu.shape
        step, height, width = self.geometry.spacing
        size = f"{counted(slices, 'slice')} of {rows} x {columns}, {self.hu.dtype}"
        return f"<Scan {size}, every {step:g} mm, pixels {height:g} x {width:g} mm>"

    @property
    def spacing(self) -> tuple[float, float]:
        """(rows, columns) pixel spacing in mm."""
        return self.geometry.spacing[1:]

    def with_hu(self, hu: np.ndarray) -> Scan:
        """The same geometry with other voxels."""
        return replace(self, hu=hu)

    def part(self, first: int, stop: int) -> Scan:
        """Some of the slices, at their place; the voxels are a view."""
        geometry = replace(self.geometry, origin=self.geometry.place_of((first, 0, 0)))
        return Scan(self.hu[first:stop], geometry, None if self.padding is None else self.padding[first:stop])

    def along(self, axis: int | None) -> Scan:
        """The same scan with its slices along another axis; the voxels are a view.

        Args:
            axis: array axis (slowest first) of the file; None is the one nearest to the patient's length. A single image has
                one slice whatever is asked for.
        """
        geometry = self.geometry
        stored = np.argsort(_order(geometry.axis)).tolist()  # the scan's axes in the order of the file
        if geometry.planar:
            axis = 0
        elif axis is None:
            axis = axial_axis(np.array([geometry.directions[one] for one in reversed(stored)]).T)
        first, second, third = order = [stored[one] for one in _order(axis)]
        spacing, directions = geometry.spacing, geometry.directions
        moved = replace(
            geometry,
            spacing=(spacing[first], spacing[second], spacing[third]),
            directions=(directions[first], directions[second], directions[third]),
            axis=axis,
        )
        return Scan(self.hu.transpose(order), moved, None if self.padding is None else self.padding.transpose(order))


def _order(axis: int) -> list[int]:
    """Array axes of a file in the order (slices, rows, columns)."""
    return [axis, *(other for other in range(3) if other != axis)]
