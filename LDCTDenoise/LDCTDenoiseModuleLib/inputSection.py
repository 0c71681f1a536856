"""What is denoised, and where the result goes."""

from __future__ import annotations

from typing import Any

import slicer

from .outputNodes import SOURCE_REFERENCE
from .panelSection import PanelSection


class InputSection(PanelSection):
    """Input, output and noise map."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self.ui.inputSelector.connect("nodeActivated(vtkMRMLNode*)", self.onInputChosen)

    def chooseFirst(self, node: Any) -> None:
        """Choose the first volume where none is chosen."""
        if node.inputVolume is None:
            node.inputVolume = _firstScalarVolume()

    def onInputChosen(self, *_args: Any) -> None:
        """Results of another volume are not overwritten unless they are chosen again."""
        node = self.node
        if node is None or node.inputVolume is None:
            return
        for name in ("outputVolume", "noiseMap"):
            chosen = getattr(node, name)
            if chosen is not None and chosen.GetNodeReferenceID(SOURCE_REFERENCE) not in (None, node.inputVolume.GetID()):
                setattr(node, name, None)


def _firstScalarVolume() -> slicer.vtkMRMLScalarVolumeNode | None:
    nodes = slicer.mrmlScene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    nodes.UnRegister(None)
    for index in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(index)
        # Not a label map, not a vector volume: those are of classes of their own.
        if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors():
            return node
    return None
