"""Input, output and noise map side by side in linked views."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

LAYOUT_ID = 20061
"""Any number that no other layout uses; after the paper's, 2006.14738."""
_VIEWS = (("LDCTInput", _("Input"), "#8C8C8C"), ("LDCTOutput", _("Output"), "#6EB04B"), ("LDCTNoise", _("Noise"), "#EDD54C"))
_ITEM = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
    '<property name="orientation" action="default">Axial</property>'
    '<property name="viewlabel" action="default">{label}</property>'
    '<property name="viewcolor" action="default">{color}</property>'
    "</view></item>"
)


class CompareViews:
    """Switches the window to the comparison and back."""

    def __init__(self) -> None:
        self._layoutBefore = None
        self._inputID = None

    @property
    def shown(self) -> bool:
        """Whether the comparison is on the screen; the user may have chosen another layout meanwhile."""
        manager = slicer.app.layoutManager()
        return manager is not None and manager.layoutLogic().GetLayoutNode().GetViewArrangement() == LAYOUT_ID

    def show(
        self,
        inputNode: slicer.vtkMRMLScalarVolumeNode,
        outputNode: slicer.vtkMRMLScalarVolumeNode,
        noiseMapNode: slicer.vtkMRMLScalarVolumeNode | str | None,
    ) -> bool:
        """Show the volumes side by side; without a noise map two views have something to show.

        Returns:
            Whether there is a window to show them in.
        """
        manager = slicer.app.layoutManager()
        if manager is None:
            return False
        fits = self.shown and self._inputID == inputNode.GetID()  # then where the user scrolled and zoomed to stays
        self._inputID = inputNode.GetID()
        self._switch(manager.layoutLogic().GetLayoutNode())
        for (tag, _label, _color), volume in zip(_VIEWS, (inputNode, outputNode, noiseMapNode), strict=True):
            composite = manager.sliceWidget(tag).sliceLogic().GetSliceCompositeNode()
            composite.SetBackgroundVolumeID(volume.GetID() if volume is not None else None)
            composite.SetForegroundVolumeID(None)
            composite.SetLinkedControl(True)
        for tag, _label, _color in () if fits else _VIEWS:
            logic = manager.sliceWidget(tag).sliceLogic()
            logic.GetSliceNode().RotateToVolumePlane(inputNode)
            logic.FitSliceToAll()
        return True

    def _switch(self, layoutNode: Any) -> None:
        if self.shown:
            return
        if not layoutNode.IsLayoutDescription(LAYOUT_ID):
            items = "".join(_ITEM.format(tag=tag, label=label, color=color) for tag, label, color in _VIEWS)
            layoutNode.AddLayoutDescription(LAYOUT_ID, f'<layout type="horizontal" split="true">{items}</layout>')
        self._layoutBefore = layoutNode.GetViewArrangement()
        layoutNode.SetViewArrangement(LAYOUT_ID)

    def hide(self) -> None:
        """Give the window its earlier layout back."""
        if self.shown and self._layoutBefore is not None:
            slicer.app.layoutManager().layoutLogic().GetLayoutNode().SetViewArrangement(self._layoutBefore)
        self._layoutBefore = None
