"""A small scripted module that the tests of the stand-in load: a threshold, written like Slicer's template."""

import enum
from typing import Annotated, Optional

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class StandInExample(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Stand-in example")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="StandInExample",
        sampleName="Example",
        uris=[],
        fileNames=[],
        customDownloader=lambda source: slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", source.sampleName),
    )


class Direction(enum.Enum):
    ABOVE = "above"
    BELOW = "below"


@parameterNodeWrapper
class StandInExampleParameterNode:
    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    threshold: Annotated[float, WithinRange(-1000, 3000)] = 100
    direction: Direction = Direction.ABOVE
    method: Annotated[str, Choice(["plain", "soft"])] = "plain"
    slices: int = 3
    invert: bool = False
    note: str = ""
    best: Optional[int] = None  # noqa: UP045 - Slicer's wrapper knows no X | None
    picks: list[int]


class StandInExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._parameterNodeGuiTag = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/StandInExample.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = StandInExampleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.initializeParameterNode()

    def cleanup(self):
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self.setParameterNode(None)

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        self.setParameterNode(StandInExampleParameterNode(self.logic.getParameterNode()))

    def setParameterNode(self, parameterNode):
        if self._parameterNode:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self.checkCanApply)
        self._parameterNode = parameterNode
        if self._parameterNode:
            self._parameterNodeGuiTag = self._parameterNode.connectGui(self.ui)
            self.addObserver(self._parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self.checkCanApply)
            self.checkCanApply()

    def checkCanApply(self, caller=None, event=None):
        self.ui.applyButton.enabled = bool(self._parameterNode and self._parameterNode.inputVolume)

    def onApplyButton(self, *_arguments):
        with slicer.util.tryWithErrorDisplay(_("Failed to compute results."), waitCursor=True):
            output = self.logic.process(self._parameterNode)
            slicer.util.setSliceViewerLayers(background=output, fit=True)
            self.ui.resultLabel.text = _("Done: {name}").format(name=output.GetName())


class StandInExampleLogic(ScriptedLoadableModuleLogic):
    def process(self, parameters):
        values = slicer.util.arrayFromVolume(parameters.inputVolume)
        if values.max() < parameters.threshold:
            raise ValueError("Nothing is above the threshold.")
        output = parameters.outputVolume or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Thresholded")
        output.CopyOrientation(parameters.inputVolume)
        slicer.util.updateVolumeFromArray(output, (values > parameters.threshold).astype("int16"))
        parameters.outputVolume = output
        return output


class StandInExampleTest(ScriptedLoadableModuleTest):
    def test_timer(self):
        timer = qt.QTimer()
        assert not timer.active
        self.delayDisplay("A test ran")
