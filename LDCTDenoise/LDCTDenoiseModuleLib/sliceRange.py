"""Which slices to denoise: a range, or those that a region of interest covers."""

from __future__ import annotations

import itertools

import numpy as np
import slicer
import vtk
from slicer import vtkMRMLTransformNode
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import InputError

from .volumeArrays import sliceAxis, sliceCount

WHOLE, RANGE, ROI = "whole", "range", "roi"


def slicesOfRange(first: int, last: int, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> tuple[int, int]:
    """Zero-based half-open range of the slices first to last (both included), as the panel shows them.

    Raises:
        InputError: they do not lie within the volume, or are the wrong way round.
    """
    count = sliceCount(volumeNode)
    if first > last:
        raise InputError(
            _("The first slice, {first}, comes after the last, {last}; exchange them.").format(first=first, last=last)
        )
    if not 0 <= first <= last < count:
        raise InputError(
            _("The slices {first} to {last} do not lie within {name}, which has the slices 0 to {highest}.").format(
                first=first, last=last, name=volumeNode.GetName(), highest=count - 1
            )
        )
    return first, last + 1


def slicesOfROI(roiNode: slicer.vtkMRMLMarkupsROINode, volumeNode: slicer.vtkMRMLScalarVolumeNode) -> tuple[int, int]:
    """Zero-based half-open range of the slices whose centres an ROI contains, whatever way the ROI is turned.

    Raises:
        InputError: no ROI, or it covers no slice of the volume.
    """
    if roiNode is None:
        raise InputError(_("Choose an ROI, or another region."))
    toWorld = vtk.vtkMatrix4x4()
    toWorld.DeepCopy(roiNode.GetObjectToWorldMatrix())
    half = [length / 2 for length in roiNode.GetSize()]
    toLocal = vtk.vtkGeneralTransform()
    vtkMRMLTransformNode.GetTransformBetweenNodes(None, volumeNode.GetParentTransformNode(), toLocal)
    rasToIJK = vtk.vtkMatrix4x4()
    volumeNode.GetRASToIJKMatrix(rasToIJK)
    indexAxis = 2 - sliceAxis(volumeNode)
    places = []
    for signs in itertools.product((-1, 1), repeat=3):
        corner = [sign * length for sign, length in zip(signs, half, strict=True)]
        ras = toLocal.TransformPoint(toWorld.MultiplyPoint([*corner, 1])[:3])
        places.append(rasToIJK.MultiplyPoint([*ras, 1])[indexAxis])
    # Half a thousandth of a slice: an ROI drawn exactly through a slice's centre contains it.
    first = max(0, int(np.ceil(min(places) - 5e-4)))
    stop = min(sliceCount(volumeNode), int(np.floor(max(places) + 5e-4)) + 1)
    if first >= stop:
        raise InputError(
            _("The ROI {roi} covers no slice of {name}; move it over the volume.").format(
                roi=roiNode.GetName(), name=volumeNode.GetName()
            )
        )
    return first, stop
