"""4D CT: the frames behind a volume that a sequence browser shows, and a new sequence of results."""

import slicer

from .outputNodes import SOURCE_REFERENCE, copyDisplay, placeBeside, tell


def browserOf(volumeNode):
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


def sequenceOf(volumeNode):
    """The sequence that a volume shows a frame of, or None."""
    browser = browserOf(volumeNode)
    return browser.GetSequenceNode(volumeNode) if browser else None


def framesOf(volumeNode):
    """The volumes of the sequence that a volume shows a frame of, in order."""
    sequence = sequenceOf(volumeNode)
    return [sequence.GetNthDataNode(index) for index in range(sequence.GetNumberOfDataNodes())]


def showSequence(inputNode, volumes, name, record):
    """Add a sequence of result volumes beside the input's, played by the same browser.

    Returns:
        The volume node that shows its current frame.
    """
    scene = slicer.mrmlScene
    browser, source = browserOf(inputNode), sequenceOf(inputNode)
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(name))
    sequence.SetIndexName(source.GetIndexName())
    sequence.SetIndexUnit(source.GetIndexUnit())
    sequence.SetIndexType(source.GetIndexType())
    for index, volume in enumerate(volumes):
        tell(volume, record)  # the shown volume takes over what its frame says
        sequence.SetDataNodeAtValue(volume, source.GetNthIndexValue(index))
    browser.AddSynchronizedSequenceNode(sequence)
    frame = max(0, browser.GetSelectedItemNumber())
    shown = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    shown.SetAndObserveTransformNodeID(inputNode.GetTransformNodeID())
    shown.SetNodeReferenceID(SOURCE_REFERENCE, inputNode.GetID())
    proxy = browser.AddProxyNode(shown, sequence, False)
    proxy.CopyContent(sequence.GetNthDataNode(frame))
    tell(sequence, record)
    copyDisplay(inputNode, proxy)
    placeBeside(inputNode, proxy)
    return proxy
