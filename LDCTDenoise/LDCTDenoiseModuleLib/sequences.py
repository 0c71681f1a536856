"""4D CT: the frames of a sequence, and a new sequence of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from .outputNodes import SOURCE_REFERENCE, copyDisplay, denoisedName, placeBeside, record, sourceOf, tell
from .parentTransform import ParentTransform
from .runOutcome import RunOutcome


def browserOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSequenceBrowserNode | None:
    """The sequence browser that shows a volume as one of its proxies, or None."""
    browsers = slicer.mrmlScene.GetNodesByClass("vtkMRMLSequenceBrowserNode")
    if browsers is None:  # a Slicer without the Sequences module
        return None
    browsers.UnRegister(None)
    for index in range(browsers.GetNumberOfItems()):
        browser = browsers.GetItemAsObject(index)
        if browser.IsProxyNode(volumeNode.GetID()):
            return browser
    return None


def sequenceOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLSequenceNode | None:
    """The sequence that a volume shows a frame of, or None."""
    browser = browserOf(volumeNode)
    return browser.GetSequenceNode(volumeNode) if browser else None


def framesOf(volumeNode: slicer.vtkMRMLScalarVolumeNode) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """The volumes of the sequence that a volume shows a frame of, in order."""
    sequence: Any = sequenceOf(volumeNode)
    return [sequence.GetNthDataNode(index) for index in range(sequence.GetNumberOfDataNodes())]


def showSequence(
    inputNode: slicer.vtkMRMLScalarVolumeNode, outcomes: Sequence[RunOutcome], transform: ParentTransform
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a sequence of results beside the input's, played by the same browser.

    Args:
        inputNode: shows a frame of the input's sequence.
        outcomes: of its frames, in order.
        transform: which moved the input when the run began.

    Returns:
        The volume node that shows its current frame.
    """
    scene = slicer.mrmlScene
    browser: Any = browserOf(inputNode)
    source: Any = sequenceOf(inputNode)
    # One name for the sequence and the volume that shows it, as Slicer gives them.
    name = scene.GenerateUniqueName(denoisedName(inputNode.GetName()))
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", name)
    sequence.SetIndexName(source.GetIndexName())
    sequence.SetIndexUnit(source.GetIndexUnit())
    sequence.SetIndexType(source.GetIndexType())
    for index, outcome in enumerate(outcomes):
        volume = slicer.vtkMRMLScalarVolumeNode()
        volume.SetName(denoisedName(outcome.record["SourceName"]))
        volume.SetIJKToRASMatrix(transform.place(outcome.place))
        tell(volume, outcome.record)  # the shown volume takes over what its frame says
        frame = sequence.SetDataNodeAtValue(volume, source.GetNthIndexValue(index))  # a copy: of no voxels yet
        frame.SetAndObserveImageData(outcome.image)
    browser.AddSynchronizedSequenceNode(sequence)
    shown = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    shown.SetAndObserveTransformNodeID(transform.nodeID)
    shown.SetNodeReferenceID(SOURCE_REFERENCE, inputNode.GetID())
    proxy = browser.AddProxyNode(shown, sequence, False)
    proxy.CopyContent(sequence.GetNthDataNode(max(0, browser.GetSelectedItemNumber())), False)  # the voxels are shared
    tell(sequence, record(sourceOf(source), outcomes[0].answer.made))
    copyDisplay(inputNode, proxy)
    placeBeside(inputNode, proxy)
    return proxy
