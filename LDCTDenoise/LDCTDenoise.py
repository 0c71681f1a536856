"""LDCT Denoise, a module of 3D Slicer: denoises low-dose CT volumes.

This file assembles what LDCTDenoiseModuleLib does. Nothing here or there imports torch: the computation runs in a child
process (LDCTDenoiseLib.worker).
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import slicer
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

# The library lies beside this file in the installed extension, and beside its folder in the source tree.
_HERE = Path(__file__).resolve().parent
for _folder in (_HERE, _HERE.parent):
    if ((_folder / "LDCTDenoiseLib").is_dir() or _folder == _HERE) and str(_folder) not in sys.path:
        sys.path.append(str(_folder))

from LDCTDenoiseModuleLib import compareViews, sampleData, sliceRange
from LDCTDenoiseModuleLib.denoisingLogic import DenoisingLogic
from LDCTDenoiseModuleLib.panel import Panel
from LDCTDenoiseModuleLib.selfTests import SelfTests


class LDCTDenoise(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("LDCT Denoise")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        self.parent.dependencies = []
        self.parent.contributors = ["The LDCTDenoise developers"]
        self.parent.helpText = _(
            "Denoises low-dose CT slice by slice with a cascade of dilated residual networks, on a CUDA GPU where there is one. "
            "Pick a CT, press Apply, compare. A GPU needs PyTorch: press Install PyTorch under Device and setup. "
            "For research, not for diagnosis."
        )
        self.parent.acknowledgementText = _(
            "Method: S. Ataei, J. Alirezaie, P. Babyn, Cascaded Convolutional Neural Networks with Perceptual Loss for "
            "Low Dose CT Denoising, arXiv 2006.14738, 2020."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", compareViews.registerLayouts)


def registerSampleData() -> None:
    """Add the sample data of this module to Slicer's Sample Data."""
    sampleData.register(lambda: LDCTDenoiseLogic(), _HERE / "Resources" / "Icons")


@parameterNodeWrapper
class LDCTDenoiseParameterNode:
    """What the panel is set to; saved with the scene.

    ``levels`` and ``batchSize`` 0 mean all and automatic. The slices of ``region`` "range" are both included. Whole numbers
    name their range, because a spin box that is bound to one without loses its own.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    outputVolume: vtkMRMLScalarVolumeNode
    noiseMap: vtkMRMLScalarVolumeNode
    makeNoiseMap: bool = False
    referenceVolume: vtkMRMLScalarVolumeNode
    model: str = "default"
    levels: Annotated[int, WithinRange(0, 16)] = 0
    strength: Annotated[float, WithinRange(0, 100)] = 100.0
    force: bool = False
    region: str = sliceRange.WHOLE
    firstSlice: Annotated[int, WithinRange(0, 99999)] = 0
    lastSlice: Annotated[int, WithinRange(0, 99999)] = 0
    roi: vtkMRMLMarkupsROINode
    allFrames: bool = False
    followSlice: bool = False
    previewFade: Annotated[float, WithinRange(0, 100)] = 100.0
    lesionPoint: vtkMRMLMarkupsFiducialNode
    lesionContrast: Annotated[float, WithinRange(-1000, 1000)] = -20.0
    lesionDiameters: str = "8"
    device: str = "auto"
    precision: str = "auto"
    batchSize: Annotated[int, WithinRange(0, 256)] = 0


class LDCTDenoiseWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Makes the panel and tells it of the module's and the scene's life."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.ui = None
        self.panel = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/LDCTDenoise.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = LDCTDenoiseLogic()
        self.panel = Panel(self.ui, self.logic)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        # After an import, too: while nodes are read the parameter node's volumes may not be there yet, and it would miss them.
        for event in (slicer.mrmlScene.EndCloseEvent, slicer.mrmlScene.EndImportEvent):
            self.addObserver(slicer.mrmlScene, event, self.onSceneReady)
        self.panel.follow()

    def enter(self) -> None:
        self.panel.follow()

    def exit(self) -> None:
        self.panel.leave()

    def cleanup(self) -> None:
        self.panel.cleanup()
        self.logic.shutdown()
        self.removeObservers()

    def onReload(self) -> None:
        """Developers' Reload: the library and the module's own parts are read anew, too."""
        for name in list(sys.modules):
            if name.partition(".")[0] in ("LDCTDenoiseLib", "LDCTDenoiseModuleLib"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, *_args: Any) -> None:
        self.panel.sceneClosed()

    def onSceneReady(self, *_args: Any) -> None:
        if self.parent.isEntered:
            self.panel.follow()


class LDCTDenoiseLogic(ScriptedLoadableModuleLogic, DenoisingLogic):
    """Denoising for scripts and for the panel; its functions are those of ``DenoisingLogic``.

    Example for the Python console::

        import LDCTDenoise
        volume = slicer.util.getNode("CTChest")
        result = LDCTDenoise.LDCTDenoiseLogic().process(volume, None)
        slicer.util.setSliceViewerLayers(background=result["output"])
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        DenoisingLogic.__init__(self)

    def getParameterNode(self) -> LDCTDenoiseParameterNode:
        return LDCTDenoiseParameterNode(super().getParameterNode())


class LDCTDenoiseTest(SelfTests, ScriptedLoadableModuleTest):
    """The self-tests: run by ctest and by Reload and Test, in Slicer and outside. Where nothing can compute, they are skipped."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()
        self.logic = LDCTDenoiseLogic()
        problem = self.logic.deviceReport()["problem"]
        if problem:
            self.delayDisplay(_("Skipped: {problem}").format(problem=problem))
            self.skipTest(problem)

    def tearDown(self) -> None:
        slicer.mrmlScene.Clear()
