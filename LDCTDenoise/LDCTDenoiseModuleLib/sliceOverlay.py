"""One slice laid over a volume in a slice view; gone without a trace when it is taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from .sliceViews import SliceView
from .volumeArrays import ijkToRAS, newImage, sliceAxis, slicesOf

OUT_OF_DATE = (slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent)
"""Events of a volume after which a slice that was laid over it shows what is there no more."""


class SliceOverlay:
    """A volume of one slice in the foreground of a view. It is in no list and not saved.

    Args:
        name: of its node.

    Attributes:
        node: the volume node; None while nothing is laid.
        opacity: 0 to 1.
    """

    def __init__(self, name: str) -> None:
        self.node: Any = None
        self.opacity = 1.0
        self._name = name
        self._view: SliceView | None = None
        self._previous: tuple[str | None, str | None, float] | None = None
        self._backgroundID: str | None = None

    def lay(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, voxels: np.ndarray, index: int, view: SliceView) -> None:
        """Lay a slice over the volume's own.

        Args:
            volumeNode: what it is laid over.
            voxels: (1, rows, columns).
            index: of the slice.
            view: where.
        """
        axis = sliceAxis(volumeNode)
        dimensions = list(volumeNode.GetImageData().GetDimensions())
        dimensions[2 - axis] = 1
        like = vtk.vtkImageData()
        like.SetDimensions(dimensions)
        image = newImage(like, voxels.dtype)
        slicesOf(image, axis)[:] = voxels
        if self.node is None:
            self.node = slicer.vtkMRMLScalarVolumeNode()
            self.node.SetName(self._name)
            self.node.SetHideFromEditors(True)
            self.node.SetSaveWithScene(False)
            slicer.mrmlScene.AddNode(self.node)
        self.node.SetIJKToRASMatrix(_placeOfSlice(volumeNode, axis, index))
        self.node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        self.node.SetAndObserveImageData(image)
        if self._view is not None and self._view != view:
            self._giveViewBack()
        self._view = view

    def show(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Put the slice, which has got its display by now, into the view, over the volume."""
        display = self.node.GetDisplayNode()
        if display is not None:
            display.SetHideFromEditors(True)
            display.SetSaveWithScene(False)
        if self._view is None:
            return
        composite = self._view.compositeNode
        if self._previous is None:
            self._previous = (
                composite.GetBackgroundVolumeID(),
                composite.GetForegroundVolumeID(),
                composite.GetForegroundOpacity(),
            )
        self._backgroundID = volumeNode.GetID()
        composite.SetBackgroundVolumeID(self._backgroundID)  # what the fade goes to, whatever the view showed
        composite.SetForegroundVolumeID(self.node.GetID())
        composite.SetForegroundOpacity(self.opacity)

    def setOpacity(self, opacity: float) -> None:
        """Fade between the volume (0) and the slice (1)."""
        self.opacity = opacity
        if self._view is not None and self._isForegroundOf(self._view):
            self._view.compositeNode.SetForegroundOpacity(opacity)

    def remove(self) -> None:
        """Take the slice away and give the view back what it showed."""
        self._giveViewBack()
        if self.node is not None:
            for node in (self.node.GetDisplayNode(), self.node):
                if node is not None and node.GetScene() is not None:
                    slicer.mrmlScene.RemoveNode(node)
        self.node = None

    def _isForegroundOf(self, view: SliceView) -> bool:
        return self.node is not None and view.compositeNode.GetForegroundVolumeID() == self.node.GetID()

    def _giveViewBack(self) -> None:
        if self._view is not None and self._previous is not None:
            backgroundID, foregroundID, opacity = self._previous
            composite = self._view.compositeNode
            # What a user has chosen meanwhile stays.
            if composite.GetBackgroundVolumeID() == self._backgroundID:
                composite.SetBackgroundVolumeID(backgroundID)
            if self._isForegroundOf(self._view):
                composite.SetForegroundVolumeID(foregroundID)
                composite.SetForegroundOpacity(opacity)
        self._view = None
        self._previous = None


def _placeOfSlice(volumeNode: slicer.vtkMRMLScalarVolumeNode, axis: int, index: int) -> vtk.vtkMatrix4x4:
    """IJK to RAS of one slice of a volume."""
    matrix = ijkToRAS(volumeNode)
    origin = [0.0, 0.0, 0.0, 1.0]
    origin[2 - axis] = index
    place = matrix.MultiplyPoint(origin)
    for row in range(3):
        matrix.SetElement(row, 3, place[row])
    return matrix
