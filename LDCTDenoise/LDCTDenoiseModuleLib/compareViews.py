"""Input, output and noise map side by side in linked views."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import InputError

from .sliceViews import viewOf

LAYOUT_ID = 20061
"""Any number that no other layout uses; after the paper's, 2006.14738."""
_VIEW_GROUP = 20061
"""Linked views of another group, such as the user's own, do not follow."""
_VIEWS = (("LDCTInput", _("Input"), "#8C8C8C"), ("LDCTOutput", _("Output"), "#6EB04B"), ("LDCTNoise", _("Noise"), "#EDD54C"))
_ITEM = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
    '<property name="orientation" action="default">Axial</property>'
    '<property name="viewlabel" action="default">{label}</property>'
    '<property name="viewcolor" action="default">{color}</property>'
    "</view></item>"
)
_LAYOUTS = {len(_VIEWS): LAYOUT_ID, len(_VIEWS) - 1: LAYOUT_ID + 1}
"""Layouts by how many views they have."""
_PATIENCE_S = 1.0


def registerLayouts() -> None:
    """Make the layouts known, so that a scene that was saved while the comparison was shown opens with its views."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    layoutNode = manager.layoutLogic().GetLayoutNode()
    for count, layoutID in _LAYOUTS.items():
        if not layoutNode.IsLayoutDescription(layoutID):
            items = "".join(_ITEM.format(tag=tag, label=label, color=color) for tag, label, color in _VIEWS[:count])
            layoutNode.AddLayoutDescription(layoutID, f'<layout type="horizontal" split="true">{items}</layout>')


class CompareViews:
    """Switches the window to the comparison and back."""

    def __init__(self) -> None:
        self._layoutBefore = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        self._inputID: str | None = None

    @property
    def shown(self) -> bool:
        """Whether the comparison is on the screen; the user may have chosen another layout meanwhile."""
        manager = slicer.app.layoutManager()
        return manager is not None and manager.layoutLogic().GetLayoutNode().GetViewArrangement() in _LAYOUTS.values()

    def show(
        self,
        inputNode: slicer.vtkMRMLScalarVolumeNode,
        outputNode: slicer.vtkMRMLScalarVolumeNode,
        noiseMapNode: slicer.vtkMRMLScalarVolumeNode | None,
    ) -> bool:
        """Show the volumes side by side, at the place that the user looks at; without a noise map in two views.

        Returns:
            Whether there is a window to show them in.
        """
        manager = slicer.app.layoutManager()
        if manager is None:
            return False
        stays = self.shown and self._inputID == inputNode.GetID()  # then where the user scrolled and zoomed to stays
        place = _placeOf("LDCTInput") if stays else _placeInView(inputNode)
        volumes = [inputNode, outputNode] + [noiseMapNode] * (noiseMapNode is not None)
        tags = [tag for tag, _label, _color in _VIEWS[: len(volumes)]]
        self._inputID = inputNode.GetID()
        self._switch(manager.layoutLogic().GetLayoutNode(), len(volumes))
        _waitForSizes(tags)
        logics = [manager.sliceWidget(tag).sliceLogic() for tag in tags]
        for logic, volume in zip(logics, volumes, strict=True):
            composite = logic.GetSliceCompositeNode()
            composite.SetLinkedControl(False)  # else the first one that is placed would move the others
            composite.SetBackgroundVolumeID(volume.GetID() if volume is not None else None)
            composite.SetForegroundVolumeID(None)
        for logic in logics:
            logic.GetSliceNode().SetViewGroup(_VIEW_GROUP)
            if place is None:
                logic.GetSliceNode().RotateToVolumePlane(inputNode)
                logic.FitSliceToAll()
            else:
                _put(logic.GetSliceNode(), *place)
        for logic in logics:
            logic.GetSliceCompositeNode().SetLinkedControl(True)
        return True

    def _switch(self, layoutNode: slicer.vtkMRMLLayoutNode, count: int) -> None:
        if not self.shown:
            self._layoutBefore = layoutNode.GetViewArrangement()
        registerLayouts()
        layoutNode.SetViewArrangement(_LAYOUTS[count])

    def hide(self) -> None:
        """Give the window its earlier layout back; where a scene was opened with the comparison, Slicer's own."""
        if self.shown:
            slicer.app.layoutManager().layoutLogic().GetLayoutNode().SetViewArrangement(self._layoutBefore)
        self._layoutBefore = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def _waitForSizes(tags: list[str]) -> None:
    """Let the window lay out its new views: one without a size can be neither fitted nor linked."""
    deadline = time.monotonic() + _PATIENCE_S
    nodes = [slicer.app.layoutManager().sliceWidget(tag).mrmlSliceNode() for tag in tags]
    while True:
        slicer.app.processEvents()
        if all(min(node.GetDimensions()[:2]) > 0 for node in nodes) or time.monotonic() > deadline:
            return


def _placeOf(name: str) -> tuple[vtk.vtkMatrix4x4, float] | None:
    return _place(slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode())


def _placeInView(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> tuple[vtk.vtkMatrix4x4, float] | None:
    """Plane and zoom of the view that shows the volume; None where none does."""
    try:
        view, _index = viewOf(volumeNode)
    except InputError:
        return None
    return _place(view.sliceNode) if view.compositeNode.GetBackgroundVolumeID() else None


def _place(sliceNode: slicer.vtkMRMLSliceNode) -> tuple[vtk.vtkMatrix4x4, float] | None:
    """Plane, and the shorter side of the field of view in mm."""
    field = sliceNode.GetFieldOfView()[:2]
    if not np.isfinite(field).all() or min(field) <= 0:
        return None
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(sliceNode.GetSliceToRAS())
    return matrix, min(field)


def _put(sliceNode: Any, matrix: vtk.vtkMatrix4x4, short: float) -> None:
    sliceNode.GetSliceToRAS().DeepCopy(matrix)
    columns, rows = sliceNode.GetDimensions()[:2]
    scale = short / min(columns, rows)
    sliceNode.SetFieldOfView(columns * scale, rows * scale, sliceNode.GetFieldOfView()[2])
    sliceNode.UpdateMatrices()
