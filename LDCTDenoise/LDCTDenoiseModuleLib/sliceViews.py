"""The slice views that are on the screen, and which slice of a volume they show."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import InputError

from .volumeArrays import sliceAxis, sliceCount

_FIRST = "Red"
_PARALLEL = 0.999


class SliceView(NamedTuple):
    """A slice view: its name in the layout, what it shows and how."""

    name: str
    sliceNode: slicer.vtkMRMLSliceNode
    compositeNode: slicer.vtkMRMLSliceCompositeNode


def shownSliceViews() -> list[SliceView]:
    """The views of the layout, the Red one first. A view outside the layout has its node all the same, and is left out."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return []
    names = sorted(manager.sliceViewNames(), key=lambda name: name != _FIRST)
    widgets = [(name, manager.sliceWidget(name)) for name in names]
    return [
        SliceView(name, widget.mrmlSliceNode(), widget.sliceLogic().GetSliceCompositeNode())
        for name, widget in widgets
        if widget is not None and widget.visible
    ]


def viewOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> tuple[SliceView, int]:
    """The first view on the screen that shows one of the volume's slices, and the index of that slice.

    Raises:
        InputError: no view shows one; it says what to do.
    """
    views = shownSliceViews()
    if not views:
        raise InputError(_("No slice view is on the screen; choose a layout that has one."))
    problems = []
    for view in views:
        try:
            return view, shownSlice(volumeNode, view)
        except InputError as error:
            problems.append(error)
    raise problems[0]


def shownSlice(volumeNode: slicer.vtkMRMLScalarVolumeNode, view: SliceView) -> int:
    """Index of the volume's slice in the middle of a slice view.

    Raises:
        InputError: the view shows another plane than the volume's slices, or lies outside the volume.
    """
    sliceToRAS = view.sliceNode.GetSliceToRAS()
    toLocal = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volumeNode.GetParentTransformNode(), toLocal)
    rasToIJK = vtk.vtkMatrix4x4()
    volumeNode.GetRASToIJKMatrix(rasToIJK)
    axis = 2 - sliceAxis(volumeNode)

    def place(point: tuple[float, float, float]) -> float:
        ras = sliceToRAS.MultiplyPoint((*point, 1.0))[:3]
        index: float = rasToIJK.MultiplyPoint((*toLocal.TransformPoint(ras), 1.0))[axis]
        return index

    # The plane is the volume's own when walking 100 mm within it stays on one slice.
    centre, right, up = place((0, 0, 0)), place((100, 0, 0)), place((0, 100, 0))
    if max(abs(right - centre), abs(up - centre)) > 100 * (1 - _PARALLEL):
        raise InputError(
            _("The {view} view does not show the volume's axial slices; set it to Axial, or rotate it to the volume.").format(
                view=view.name
            )
        )
    index = int(np.floor(centre + 0.5))
    if not 0 <= index < sliceCount(volumeNode):
        raise InputError(_("The {view} view shows a place outside the volume; scroll it to a slice.").format(view=view.name))
    return index
