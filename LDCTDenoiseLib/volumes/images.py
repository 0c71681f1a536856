"""SimpleITK images as scans, and back."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..ct.scan import Geometry, Scan
from ..errors import InputError


def scan_of(image: sitk.Image) -> Scan:
    """The scan that an image of two or three axes holds, its slices along the slowest axis."""
    voxels = sitk.GetArrayFromImage(image)
    if planar := image.GetDimension() == 2:
        image, voxels = sitk.JoinSeries(image), voxels[None]
    across, down, through = np.array(image.GetDirection()).reshape(3, 3).T.tolist()  # ITK counts from the fastest axis
    directions = (tuple(through), tuple(down), tuple(across))
    return Scan(voxels, Geometry(image.GetSpacing()[::-1], image.GetOrigin(), directions, planar=planar))


def image_of(scan: Scan) -> sitk.Image:
    """The image of a scan, its axes in the order of the file that it came from.

    Raises:
        InputError: the voxels are neither integers nor floating-point numbers.
    """
    stored = scan.along(0)
    geometry = stored.geometry
    size = 2 if geometry.planar else 3
    image = sitk.GetImageFromArray(_storable(stored.hu[0] if geometry.planar else stored.hu))
    image.SetSpacing(geometry.spacing[::-1][:size])
    image.SetOrigin(geometry.origin[:size])
    image.SetDirection(np.array(geometry.directions[::-1]).T[:size, :size].ravel().tolist())
    return image


def _storable(hu: np.ndarray) -> np.ndarray:
    """Voxels as SimpleITK takes them: of the machine's byte order, floating-point numbers of 32 or 64 bits."""
    if hu.dtype.kind not in "iuf":
        raise InputError(f"The voxels are of type {hu.dtype}; integers or floating-point numbers in HU are needed.")
    kind = hu.dtype.newbyteorder("=")
    return np.ascontiguousarray(hu, np.float32 if kind.kind == "f" and kind not in (np.float32, np.float64) else kind)
