"""MRML volumes as numpy arrays whose first axis runs through the axial slices."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

from LDCTDenoiseLib.ct.orientation import axial_axis
from LDCTDenoiseLib.errors import InputError


def nodeOf(node: slicer.vtkMRMLNode | str | None) -> slicer.vtkMRMLNode | None:
    """A node, given itself or by its name.

    Raises:
        InputError: no node has the name.
    """
    if not isinstance(node, str):
        return node
    found = slicer.mrmlScene.GetFirstNodeByName(node)
    if found is None:
        raise InputError(
            _("There is no volume named '{name}' in the scene; look up its name in the Data module.").format(name=node)
        )
    return found


def checkInput(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Refuse what is no CT volume.

    Raises:
        InputError: no volume, a label map, a colour or vector volume, or one without voxels.
    """
    if node is None:
        raise InputError(_("Choose an input volume."))
    name = node.GetName()
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(_("{name} is a label map; choose a CT volume in HU.").format(name=name))
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(_("{name} is not a volume; choose a CT volume in HU.").format(name=name))
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or 0 in image.GetDimensions():
        raise InputError(_("{name} is empty: it has no voxels; choose another volume.").format(name=name))
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            _("{name} has {count} values per voxel (a colour or vector volume); choose a CT volume in HU.").format(
                name=name, count=components
            )
        )


def ijkToRAS(node: slicer.vtkMRMLScalarVolumeNode) -> vtk.vtkMatrix4x4:
    """Where the voxels of a volume node lie, without its transforms."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def sliceAxis(node: slicer.vtkMRMLScalarVolumeNode) -> int:
    """Array axis (slowest first) of a volume node that runs through its axial slices, as the command line chooses it."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(matrix)
    return axial_axis(np.array([[matrix.GetElement(row, column) for column in range(3)] for row in range(3)]))


def pixelSpacing(node: slicer.vtkMRMLScalarVolumeNode) -> list[float]:
    """(rows, columns) spacing in mm within an axial slice."""
    spacing = list(node.GetSpacing()[::-1])
    del spacing[sliceAxis(node)]
    return spacing


def sliceCount(node: slicer.vtkMRMLScalarVolumeNode) -> int:
    """Number of slices of a volume that holds voxels."""
    return node.GetImageData().GetDimensions()[2 - sliceAxis(node)]


def slicesOf(image: vtk.vtkImageData, axis: int) -> np.ndarray:
    """View of an image's voxels, (slices, rows, columns); the image must outlive it."""
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
    return np.moveaxis(voxels, axis, 0)


def newImage(like: vtk.vtkImageData, dtype: np.dtype) -> vtk.vtkImageData:
    """An image of the same size with voxels of a numpy type, their values undefined."""
    image = vtk.vtkImageData()
    image.SetDimensions(like.GetDimensions())
    image.AllocateScalars(get_vtk_array_type(dtype), 1)
    return image
