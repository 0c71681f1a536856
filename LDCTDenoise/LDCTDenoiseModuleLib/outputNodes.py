"""Results as MRML nodes: same place, same patient, same look as the input, and a record of how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.models.provenance import Provenance

from .parentTransform import ParentTransform

ATTRIBUTE = "LDCTDenoise."
SOURCE_REFERENCE = "LDCTDenoise.Source"
_NOISE_SDS = 3
INSTANCE_UIDS = "DICOM.instanceUIDs"


def denoisedName(name: str) -> str:
    """Name of the output of a volume."""
    return _("{name} denoised").format(name=name)


def noiseMapName(name: str) -> str:
    """Name of the noise map of a volume."""
    return _("{name} noise map").format(name=name)


def isResult(node: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether this module has made a volume; its source may be gone."""
    return node.GetAttribute(ATTRIBUTE + "ModelHash") is not None


def addVolume(name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """A new, empty volume in the scene; its name is made unique."""
    scene = slicer.mrmlScene
    return scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))


def fillOutput(
    node: slicer.vtkMRMLScalarVolumeNode,
    inputNode: slicer.vtkMRMLScalarVolumeNode,
    image: vtk.vtkImageData,
    place: vtk.vtkMatrix4x4,
    transform: ParentTransform,
    record: Mapping[str, Any],
) -> None:
    """Give a volume node its voxels beside the input. The old voxels go in the same moment, and with them whose they were.

    Args:
        node: the output.
        image: vtkImageData with the result.
        place: IJK to RAS of the voxels that it was made of.
        transform: which moved them.
        record: what :func:`record` gives.
    """
    modifying = node.StartModify()
    putAt(place, transform, node)
    node.SetAndObserveImageData(image)
    node.RemoveAttribute(INSTANCE_UIDS)
    node.SetVoxelValueQuantity(inputNode.GetVoxelValueQuantity())
    node.SetVoxelValueUnits(inputNode.GetVoxelValueUnits())
    tell(node, record)
    node.SetNodeReferenceID(SOURCE_REFERENCE, inputNode.GetID())
    node.EndModify(modifying)
    placeBeside(inputNode, node)


def tell(node: slicer.vtkMRMLScalarVolumeNode, record: Mapping[str, Any]) -> None:
    """Keep a record as attributes of a node."""
    for name, value in record.items():
        node.SetAttribute(ATTRIBUTE + name, None if value is None else str(value))


def sourceOf(node: slicer.vtkMRMLNode) -> dict[str, Any]:
    """What is told about the source of a result."""
    # The UIDs are kept for the export to DICOM, which needs the source's files even when its node is gone.
    return {"SourceName": node.GetName(), "SourceInstanceUIDs": node.GetAttribute(INSTANCE_UIDS)}


def record(source: Mapping[str, Any], made: Provenance) -> dict[str, Any]:
    """What is told about a result: everything needed to make it again. None takes away what an earlier result told.

    Args:
        source: what :func:`sourceOf` gave when the voxels were read.
        made: how it was made.
    """
    further = made.further_options()
    return {
        "Model": made.model,
        "ModelHash": made.model_hash,
        "Strength": made.options.blend,
        "Levels": made.levels,
        "Device": made.device,
        "Precision": made.options.precision,
        "Options": json.dumps(further) if further else None,
        "SoftwareVersion": made.software,
        "Slices": "{}:{}".format(*made.slices),
        **source,
    }


def provenanceOf(node: slicer.vtkMRMLScalarVolumeNode) -> Provenance | None:
    """What :func:`record` tells about a result; None when the node is no result."""
    read = {name: node.GetAttribute(ATTRIBUTE + name) for name in ("Model", "ModelHash", "Levels", "Strength", "Slices")}
    if None in read.values():
        return None
    further = json.loads(node.GetAttribute(ATTRIBUTE + "Options") or "{}")
    first, stop = read["Slices"].split(":")
    options = DenoisingOptions(levels=int(read["Levels"]), blend=float(read["Strength"]), **further)
    return Provenance(read["Model"], read["ModelHash"], options, (int(first), int(stop)))


def putAt(place: vtk.vtkMatrix4x4, transform: ParentTransform, target: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Give a volume its spacing, origin, directions and parent transform.

    Args:
        place: IJK to RAS of the source as its voxels were read; a user may have cropped it since.
        transform: of the source at the same time.
        target: the volume.
    """
    target.SetIJKToRASMatrix(transform.place(place))
    target.SetAndObserveTransformNodeID(transform.nodeID)


def copyDisplay(source: slicer.vtkMRMLScalarVolumeNode, target: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Window, level and colours of the source."""
    shown = source.GetScalarVolumeDisplayNode()
    if shown is None:
        if target.GetScalarVolumeDisplayNode() is None:
            target.CreateDefaultDisplayNodes()
        return
    # Not CreateDefaultDisplayNodes: it would look for a window in all voxels, for a second.
    display = target.GetScalarVolumeDisplayNode() or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
    display.SetInterpolate(shown.GetInterpolate())
    if shown.GetColorNodeID():
        display.SetAndObserveColorNodeID(shown.GetColorNodeID())
    target.SetAndObserveDisplayNodeID(display.GetID())


def setNoiseWindow(node: slicer.vtkMRMLScalarVolumeNode, noiseSD: float) -> None:
    """A noise map has a window of its own: grey where nothing was removed, black and white at three SD."""
    display = node.GetScalarVolumeDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(max(2 * _NOISE_SDS * noiseSD, 1.0), 0)


def placeBeside(source: slicer.vtkMRMLScalarVolumeNode, target: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Put a volume into the same study of the subject hierarchy as the source."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return
    item = hierarchy.GetItemByDataNode(source)
    invalid = hierarchy.GetInvalidItemID()
    if item == invalid:
        return
    parent = hierarchy.GetItemParent(item)
    own = hierarchy.GetItemByDataNode(target)
    if own == invalid:
        hierarchy.CreateItem(parent, target)
    else:
        hierarchy.SetItemParent(own, parent)


def showInSliceViews(node: slicer.vtkMRMLScalarVolumeNode, fit: bool = False) -> None:
    """Put a volume into all slice views; without a window nothing happens.

    Args:
        fit: also move and zoom the views to it.
    """
    if slicer.app.layoutManager() is not None:
        slicer.util.setSliceViewerLayers(background=node, fit=fit)
