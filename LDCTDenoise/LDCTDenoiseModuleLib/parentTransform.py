"""The transform that moved voxels when they were read."""

from __future__ import annotations

import slicer
import vtk


class ParentTransform:
    """The parent transform of a volume (the acquisition transform of a tilted series among them), as it is now.

    A user may harden it on the volume, or delete it, before a result is there; the result lies where the voxels lay.

    Args:
        volumeNode: with or without one.
    """

    def __init__(self, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> None:
        node = volumeNode.GetParentTransformNode()
        self._nodeID = node.GetID() if node is not None else None
        self._toWorld = vtk.vtkMatrix4x4()
        if node is not None and node.IsTransformToWorldLinear():
            node.GetMatrixTransformToWorld(self._toWorld)

    @property
    def nodeID(self) -> str | None:
        """ID of the transform; None when there was none, or it was deleted since."""
        return self._nodeID if self._nodeID and slicer.mrmlScene.GetNodeByID(self._nodeID) is not None else None

    def place(self, ijkToRAS: vtk.vtkMatrix4x4) -> vtk.vtkMatrix4x4:
        """IJK to RAS of the voxels, under :attr:`nodeID`: with what a linear transform did that was deleted since."""
        if self.nodeID == self._nodeID:
            return ijkToRAS
        moved = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Multiply4x4(self._toWorld, ijkToRAS, moved)
        return moved
