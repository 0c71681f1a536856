"""What is denoised, and where the result goes."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk

from .outputNodes import SOURCE_REFERENCE, isResult
from .panelSection import PanelSection, saysErrors
from .sliceViews import shownSliceViews

_LOADED_MS = 100


class InputSection(PanelSection):
    """Input, output and noise map."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self._loadedTimer = qt.QTimer()
        self._loadedTimer.setSingleShot(True)
        self._loadedTimer.setInterval(_LOADED_MS)
        self._loadedTimer.connect("timeout()", self._onLoaded)
        self.ui.inputSelector.connect("nodeActivated(vtkMRMLNode*)", self.onInputChosen)

    def chooseFirst(self, node: Any) -> None:
        """Choose the volume that is looked at, else the first one, where none is chosen; never a result of this module."""
        if node.inputVolume is not None:
            return
        looked = [slicer.mrmlScene.GetNodeByID(view.compositeNode.GetBackgroundVolumeID() or "") for view in shownSliceViews()]
        volumes = [*looked, *slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]
        node.inputVolume = next((volume for volume in volumes if _isCT(volume)), None)
        _letOtherResultsGo(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(self, _scene: Any, _event: str, added: slicer.vtkMRMLNode) -> None:
        """A volume that is loaded while none is chosen is chosen, once it has its voxels and is shown."""
        if self.node is not None and self.node.inputVolume is None and _isCT(added):
            self._loadedTimer.start()

    def _onLoaded(self) -> None:
        if self.node is not None:
            self.chooseFirst(self.node)

    def cleanup(self) -> None:
        self._loadedTimer.stop()

    @saysErrors
    def onInputChosen(self, *_args: Any) -> None:
        if self.node is not None:
            _letOtherResultsGo(self.node)


def _letOtherResultsGo(node: Any) -> None:
    """Results of another volume, which may be gone, are not overwritten unless they are chosen again."""
    if node.inputVolume is None:
        return
    for name in ("outputVolume", "noiseMap"):
        chosen = getattr(node, name)
        if chosen is not None and isResult(chosen) and chosen.GetNodeReferenceID(SOURCE_REFERENCE) != node.inputVolume.GetID():
            setattr(node, name, None)


def _isCT(node: slicer.vtkMRMLNode | None) -> bool:
    """A volume that may be denoised: no label map, no vector volume (classes of their own), no result of this module."""
    return (
        node is not None
        and node.GetClassName() == "vtkMRMLScalarVolumeNode"
        and not node.GetHideFromEditors()
        and not isResult(node)
    )
