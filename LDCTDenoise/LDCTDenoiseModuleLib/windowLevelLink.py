"""One window and level for volumes that are looked at together."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.util import VTKObservationMixin


class WindowLevelLink(VTKObservationMixin):
    """Keeps window and level of some volumes equal, whichever of them is changed. Linked slice views do not do that."""

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self._nodes: list[slicer.vtkMRMLScalarVolumeNode] = []
        self._setting = False

    def link(self, *nodes: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Link these volumes from now on, in place of those before."""
        self.removeObservers()
        self._nodes = list(nodes)
        for node in nodes:
            self.addObserver(node, slicer.vtkMRMLDisplayableNode.DisplayModifiedEvent, self._onDisplayModified)

    def _onDisplayModified(self, changed: slicer.vtkMRMLScalarVolumeNode, *_args: Any) -> None:
        display = changed.GetScalarVolumeDisplayNode()
        if self._setting or display is None or changed.GetScene() is None:
            return
        self._setting = True
        try:
            for node in self._nodes:
                other = node.GetScalarVolumeDisplayNode() if node.GetScene() is not None else None
                wanted = (display.GetWindow(), display.GetLevel())
                if other is not None and (other.GetWindow(), other.GetLevel()) != wanted:
                    other.SetAutoWindowLevel(False)
                    other.SetWindowLevel(*wanted)
        finally:
            self._setting = False
