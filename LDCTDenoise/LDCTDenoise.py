"""LDCT Denoise, a module of 3D Slicer: gives a low-dose CT volume its image back.

This file assembles what LDCTDenoiseModuleLib does. Nothing here or there imports torch: the computation runs in a child
process (LDCTDenoiseLib.worker).
"""

import sys
import time
from pathlib import Path
from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode
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

from LDCTDenoiseModuleLib import dependencies, dicomExport, region, sampleData
from LDCTDenoiseModuleLib.compareViews import CompareViews
from LDCTDenoiseModuleLib.computation import Settings
from LDCTDenoiseModuleLib.denoiseRun import NEW, Callbacks, DenoiseRun
from LDCTDenoiseModuleLib.eventLoopTask import EventLoopTask
from LDCTDenoiseModuleLib.messages import breakable, messageOf
from LDCTDenoiseModuleLib.modelText import modelText
from LDCTDenoiseModuleLib.outputNodes import SOURCE_REFERENCE, showInSliceViews
from LDCTDenoiseModuleLib.preview import RED_SLICE, Preview, shownSlice
from LDCTDenoiseModuleLib.progressText import Progress
from LDCTDenoiseModuleLib.resultTable import resultTable
from LDCTDenoiseModuleLib.sequences import sequenceOf
from LDCTDenoiseModuleLib.volumeArrays import checkInput, sliceCount
from LDCTDenoiseModuleLib.workerProcess import sharedWorker

from LDCTDenoiseLib.errors import DenoisingCancelled, InputError, LDCTDenoiseError
from LDCTDenoiseLib.model_info import find_model, read_info, shipped_models

PAPER_STRENGTH = 70.0
FOLLOW_MS = 150
WAIT_S = 0.005


class LDCTDenoise(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("LDCT Denoise")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        self.parent.dependencies = []
        self.parent.contributors = ["The LDCTDenoise developers"]
        self.parent.helpText = _(
            "Denoises low-dose CT slice by slice with a cascade of dilated residual networks, on a CUDA GPU where there is one. "
            "Pick a CT, press Apply, compare. It needs PyTorch: press Install PyTorch under Device and setup. "
            "For research, not for diagnosis."
        )
        self.parent.acknowledgementText = _(
            "Method: S. Ataei, J. Alirezaie, P. Babyn, Cascaded Convolutional Neural Networks with Perceptual Loss for "
            "Low Dose CT Denoising, arXiv 2006.14738, 2020."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
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
    referenceVolume: vtkMRMLScalarVolumeNode
    model: str = "default"
    levels: Annotated[int, WithinRange(0, 16)] = 0
    strength: Annotated[float, WithinRange(0, 100)] = 100.0
    force: bool = False
    region: str = region.WHOLE
    firstSlice: Annotated[int, WithinRange(0, 99999)] = 0
    lastSlice: Annotated[int, WithinRange(0, 99999)] = 0
    roi: vtkMRMLMarkupsROINode
    allFrames: bool = False
    followSlice: bool = False
    previewFade: Annotated[float, WithinRange(0, 100)] = 100.0
    device: str = "auto"
    precision: str = "auto"
    batchSize: Annotated[int, WithinRange(0, 256)] = 0


class LDCTDenoiseWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.ui = None
        self._parameterNode = None
        self._guiTag = None
        self._run = None
        self._preview = None
        self._result = None
        self._reporting = None
        self._exporting = None
        self._updating = False

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/LDCTDenoise.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = LDCTDenoiseLogic()
        self._compare = CompareViews()
        self._progress = Progress()
        self._followTimer = qt.QTimer()
        self._followTimer.setSingleShot(True)
        self._followTimer.setInterval(FOLLOW_MS)
        self._followTimer.connect("timeout()", self._showPreview)
        self._fillChoices()
        self._connectWidgets()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        # After an import, too: while nodes are read the parameter node's volumes may not be there yet, and it would miss them.
        for event in (slicer.mrmlScene.EndCloseEvent, slicer.mrmlScene.EndImportEvent):
            self.addObserver(slicer.mrmlScene, event, self.onSceneReady)
        self.initializeParameterNode()

    def _fillChoices(self):
        ui = self.ui
        for path in shipped_models():
            info = read_info(path)
            ui.modelCombo.addItem(info.name, info.name)
        ui.modelCombo.addItem(_("From file..."), "")
        for text, value in (
            (_("Whole volume"), region.WHOLE),
            (_("Slice range"), region.RANGE),
            (_("Slices of an ROI"), region.ROI),
        ):
            ui.regionCombo.addItem(text, value)
        ui.deviceCombo.addItem(_("Auto"), "auto")
        ui.deviceCombo.addItem("cpu", "cpu")
        for name in ("auto", "float32", "float16", "bfloat16"):
            ui.precisionCombo.addItem(_("Auto") if name == "auto" else name, name)

    def _connectWidgets(self):
        ui = self.ui
        ui.inputSelector.connect("nodeActivated(vtkMRMLNode*)", self._onInputChosen)
        ui.modelCombo.connect("activated(int)", self._onModelChosen)
        for combo, name in ((ui.regionCombo, "region"), (ui.deviceCombo, "device"), (ui.precisionCombo, "precision")):
            combo.connect("currentIndexChanged(int)", getattr(self, f"_on{name.capitalize()}Chosen"))
        for button, slot in (
            (ui.paperStrengthButton, self._onPaperStrength),
            (ui.applyButton, self.onApplyButton),
            (ui.cancelButton, self.onCancelButton),
            (ui.previewButton, self.onPreviewButton),
            (ui.compareButton, self.onCompareButton),
            (ui.exportButton, self.onExportButton),
            (ui.installButton, self.onInstallButton),
            (ui.checkButton, self._report),
        ):
            button.connect("clicked(bool)", slot)
        ui.setupSection.connect("contentsCollapsed(bool)", self._onSetupToggled)

    # The module's life

    def enter(self):
        self.initializeParameterNode()

    def exit(self):
        self._endPreview()
        self._disconnectParameterNode()

    def cleanup(self):
        self._followTimer.stop()
        for task in (self._reporting, self._exporting):
            if task is not None:
                task.abort()
        if self._preview is not None:
            self._preview.cleanup()
            self._preview = None
        if self._run is not None:
            self._run.abort()
        self._compare.hide()
        self.logic.shutdown()
        self._disconnectParameterNode()
        self.removeObservers()

    def onReload(self):
        """Developers' Reload: the library and the module's own parts are read anew, too."""
        for name in list(sys.modules):
            if name.partition(".")[0] in ("LDCTDenoiseLib", "LDCTDenoiseModuleLib"):
                del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, *_args):
        self._endPreview()
        self._disconnectParameterNode()
        self._forgetResult()

    def onSceneReady(self, *_args):
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        """Follow the scene's parameter node; choose the first volume where none is chosen yet."""
        self._disconnectParameterNode()
        node = self.logic.getParameterNode()
        if node.inputVolume is None:
            node.inputVolume = _firstScalarVolume()
        self._parameterNode = node
        self._guiTag = node.connectGui(self.ui)
        self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._update)
        self._update()

    def _disconnectParameterNode(self):
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self._update)
            self._parameterNode = None

    # What is chosen

    def _onInputChosen(self, *_args):
        """Results of another volume are not overwritten unless they are chosen again."""
        node = self._parameterNode
        if node is None or node.inputVolume is None:
            return
        for name in ("outputVolume", "noiseMap"):
            chosen = getattr(node, name)
            if chosen is not None and chosen.GetNodeReferenceID(SOURCE_REFERENCE) not in (None, node.inputVolume.GetID()):
                setattr(node, name, None)

    def _onModelChosen(self, *_args):
        chosen = self.ui.modelCombo.itemData(self.ui.modelCombo.currentIndex)
        if not chosen:
            chosen = qt.QFileDialog.getOpenFileName(
                slicer.util.mainWindow(), _("Choose a model file"), "", _("Models (*.safetensors)")
            )
        # A cancelled file dialog changes nothing: the combo box goes back to the model that is set.
        if chosen and self._parameterNode is not None:
            self._parameterNode.model = str(chosen)
        self._update()

    def _onRegionChosen(self, *_args):
        if self._updating:
            return
        self._setFromCombo(self.ui.regionCombo, "region")
        node = self._parameterNode
        untouched = node is not None and node.firstSlice == node.lastSlice == 0
        if untouched and node.region == region.RANGE and node.inputVolume is not None and node.inputVolume.GetImageData():
            node.lastSlice = sliceCount(node.inputVolume) - 1

    def _onDeviceChosen(self, *_args):
        self._setFromCombo(self.ui.deviceCombo, "device")

    def _onPrecisionChosen(self, *_args):
        self._setFromCombo(self.ui.precisionCombo, "precision")

    def _setFromCombo(self, combo, name):
        if not self._updating and self._parameterNode is not None:
            setattr(self._parameterNode, name, str(combo.itemData(combo.currentIndex)))

    def _onPaperStrength(self, *_args):
        if self._parameterNode is not None:
            self._parameterNode.strength = PAPER_STRENGTH

    def _update(self, *_args):
        """Show what the parameter node says, and allow what can be done."""
        node, ui = self._parameterNode, self.ui
        if node is None or self._updating:
            return
        self._updating = True
        try:
            _select(ui.modelCombo, node.model, Path(node.model).name, before=_("From file..."))
            _select(ui.regionCombo, node.region)
            _select(ui.deviceCombo, node.device, node.device)
            _select(ui.precisionCombo, node.precision)
            self._showModel(node)
            self._showRegion(node)
        finally:
            self._updating = False
        running = self._run is not None and self._run.running
        ui.applyButton.enabled = node.inputVolume is not None and not running
        ui.cancelButton.enabled = running
        ui.progressBar.visible = running
        ui.previewButton.enabled = node.inputVolume is not None and not running
        ui.applyButton.toolTip = _("Denoise the volume.") if node.inputVolume is not None else _("Choose an input volume first.")
        if self._preview is not None and node.inputVolume is not None and node.inputVolume.GetID() == self._preview.volumeID:
            self._preview.setOpacity(node.previewFade / 100)
        elif self._preview is not None:
            self._endPreview()

    def _showModel(self, node):
        try:
            info = read_info(find_model(node.model))
        except LDCTDenoiseError as error:
            self.ui.modelInfoLabel.text = messageOf(error)
            return
        self.ui.modelInfoLabel.text = modelText(info)
        self.ui.levelsSpin.maximum = max(len(info.levels), node.levels)

    def _showRegion(self, node):
        ui = self.ui
        for widget in (ui.firstSliceLabel, ui.firstSliceSpin, ui.lastSliceLabel, ui.lastSliceSpin):
            widget.visible = node.region == region.RANGE
        for widget in (ui.roiLabel, ui.roiSelector):
            widget.visible = node.region == region.ROI
        ui.allFramesCheck.enabled = node.inputVolume is not None and sequenceOf(node.inputVolume) is not None
        try:
            first, stop = self._slices(node) or (0, sliceCount(node.inputVolume))
            ui.regionInfoLabel.text = _("{count} slices, {first} to {last}, will be denoised.").format(
                count=stop - first, first=first, last=stop - 1
            )
        except (InputError, AttributeError) as error:  # no volume, or one without voxels
            ui.regionInfoLabel.text = messageOf(error) if isinstance(error, InputError) else ""

    def _slices(self, node):
        if node.region == region.RANGE:
            return region.slicesOfRange(node.firstSlice, node.lastSlice, node.inputVolume)
        if node.region == region.ROI:
            return region.slicesOfROI(node.roi, node.inputVolume)
        return None

    def _settings(self, node):
        return Settings(
            model=node.model,
            levels=node.levels or None,
            blend=node.strength / 100,
            device=node.device,
            precision=node.precision,
            batch_size=node.batchSize or None,
            force=node.force,
        )

    # Apply

    def onApplyButton(self, *_args):
        """Start a run, or say why it cannot be started."""
        node = self._parameterNode
        self._endPreview()
        try:
            dependencies.ensurePackages(dependencies.REQUIREMENTS)
            if node.referenceVolume is not None:
                dependencies.ensurePackages(dependencies.REFERENCE_REQUIREMENTS)
            self._run = DenoiseRun(
                self.logic.worker,
                node.inputVolume,
                node.outputVolume or NEW,
                self._settings(node),
                Callbacks(self._onProgress, self._onStarted, self._onFinished, self._onFailed),
                slices=self._slices(node),
                noiseMapNode=node.noiseMap,
                referenceNode=node.referenceVolume,
                allFrames=node.allFrames,
            )
        except Exception as error:  # whatever it is, the panel must say it
            self._say(messageOf(error))
            return
        self._progress.start()
        self.ui.progressBar.setRange(0, 0)
        self._say(_("Preparing..."))
        self._update()

    def onCancelButton(self, *_args):
        """Stop the run."""
        if self._run is not None and self._run.running:
            self._say(_("Cancelling..."))
            self._run.cancel()

    def _onStarted(self, message):
        self._showDevice(message)

    def _onProgress(self, done, total):
        self.ui.progressBar.setRange(0, total)
        self.ui.progressBar.setValue(done)
        self._say(self._progress.text(done, total))

    def _onFinished(self, result):
        self._endRun(_("Done: {name}.").format(name=result["output"].GetName()))
        self._result = {
            name: result[name].GetID() if result[name] is not None else None for name in ("input", "output", "noiseMap")
        }
        node = self.logic.getParameterNode()  # the panel's own is gone while another module is shown
        if node.outputVolume is None and node.inputVolume is result["input"] and "frames" not in result:
            node.outputVolume = result["output"]
        self.ui.resultLabel.text = resultTable(result)
        self.ui.compareButton.enabled = True
        self._showDevice(result)
        showInSliceViews(result["output"])
        if self._compare.shown:  # its views are slice views, too, and show input and noise map again
            self._compare.show(result["input"], result["output"], result["noiseMap"])

    def _onFailed(self, error):
        cancelled = isinstance(error, DenoisingCancelled)
        self._endRun(_("Cancelled; nothing was changed.") if cancelled else messageOf(error))
        if getattr(error, "kind", "") == "MissingTorchError":
            self.ui.setupSection.collapsed = False

    def _endRun(self, message):
        self._say(message)
        self._showLog()
        self._update()

    def _say(self, text):
        self.ui.statusLabel.text = breakable(text)

    def _forgetResult(self):
        self._result = None
        self._compare.hide()
        self.ui.compareButton.checked = False
        self.ui.compareButton.enabled = False
        self.ui.resultLabel.text = _("Figures appear here after Apply.")

    # Preview

    def onPreviewButton(self, *_args):
        """Show the preview, or take it away."""
        if self.ui.previewButton.checked:
            self._showPreview()
        else:
            self._endPreview()

    def _showPreview(self):
        node = self._parameterNode
        if node is None or not self.ui.previewButton.checked:
            return
        try:
            if self._preview is None:
                dependencies.ensurePackages(dependencies.REQUIREMENTS)
                self._preview = Preview(self.logic.worker, self._onPreviewShown, self._onPreviewFailed)
                self._preview.setOpacity(node.previewFade / 100)
                self._observeRedSlice()
            self._preview.show(node.inputVolume, self._settings(node))
        except Exception as error:  # whatever it is, the panel must say it
            self._onPreviewFailed(error)
            return
        self.ui.previewInfoLabel.text = _("Computing...")

    def _observeRedSlice(self):
        sliceNode = slicer.mrmlScene.GetNodeByID(RED_SLICE)
        if sliceNode is not None:
            self.addObserver(sliceNode, vtk.vtkCommand.ModifiedEvent, self._onRedSliceModified)

    def _onRedSliceModified(self, sliceNode, *_args):
        node = self._parameterNode
        if node is None or not node.followSlice or node.inputVolume is None or self._preview is None:
            return
        try:
            moved = shownSlice(node.inputVolume, sliceNode) != self._preview.index
        except InputError:
            return
        if moved:
            self._followTimer.start()

    def _onPreviewShown(self, index, result):
        self.ui.previewInfoLabel.text = _("Slice {index}, on {device} ({reason}).").format(
            index=index, device=result["device"], reason=result["device_reason"]
        )
        self._showDevice(result)

    def _onPreviewFailed(self, error):
        self._endPreview()
        self.ui.previewInfoLabel.text = messageOf(error)
        self._showLog()

    def _endPreview(self):
        self._followTimer.stop()
        sliceNode = slicer.mrmlScene.GetNodeByID(RED_SLICE)
        if sliceNode is not None and self.hasObserver(sliceNode, vtk.vtkCommand.ModifiedEvent, self._onRedSliceModified):
            self.removeObserver(sliceNode, vtk.vtkCommand.ModifiedEvent, self._onRedSliceModified)
        if self._preview is not None:
            self._preview.cleanup()
            self._preview = None
        self.ui.previewButton.checked = False
        self.ui.previewInfoLabel.text = ""

    # Compare

    def onCompareButton(self, *_args):
        """Show the volumes side by side, or go back to the earlier layout."""
        if not self.ui.compareButton.checked:
            self._compare.hide()
            return
        nodes = {name: slicer.mrmlScene.GetNodeByID(nodeID) if nodeID else None for name, nodeID in self._result.items()}
        if nodes["input"] is None or nodes["output"] is None:
            self._say(_("A volume of the comparison was deleted; press Apply again."))
            self.ui.compareButton.checked = False
        elif not self._compare.show(nodes["input"], nodes["output"], nodes["noiseMap"]):
            self._say(_("There is no window to compare in."))
            self.ui.compareButton.checked = False

    # DICOM export

    def onExportButton(self, *_args):
        """Write the output as a DICOM series derived from the input's."""
        node = self._parameterNode
        if node is None or node.outputVolume is None:
            self.ui.exportInfoLabel.text = _("Choose an output volume, or press Apply first.")
            return
        parent = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Choose a folder for the new series"))
        if not parent:
            return
        self.ui.exportInfoLabel.text = _("Exporting...")
        self.ui.exportButton.enabled = False
        try:
            dependencies.ensurePackages(dependencies.DICOM_REQUIREMENTS)
            folder = dicomExport.newFolder(parent)
            steps = dicomExport.exportSteps(self.logic.worker, node.outputVolume, folder)
            self._exporting = EventLoopTask(
                steps, lambda series: self._endExport(_("Exported to {folder}.").format(folder=folder)), self._onExportFailed
            )
        except Exception as error:  # whatever it is, the panel must say it
            self._onExportFailed(error)

    def _onExportFailed(self, error):
        self._endExport(messageOf(error))

    def _endExport(self, message):
        self.ui.exportInfoLabel.text = breakable(message)
        self.ui.exportButton.enabled = True
        self._showLog()

    # Device and setup

    def _onSetupToggled(self, *_args):
        if not self.ui.setupSection.collapsed and not self.ui.torchInfoLabel.text:
            self._report()

    def _report(self, *_args):
        """Ask the worker what there is; it does not block."""
        if self._reporting is not None and self._reporting.running:
            return
        self.ui.torchInfoLabel.text = _("Asking...")
        self._reporting = self.logic.startDeviceReport(self._onReport, self._onReportFailed)

    def _onReport(self, report):
        ui = self.ui
        problem = report["torch_problem"]
        ui.torchInfoLabel.text = breakable(problem) or _("{version}; CUDA: {cuda}.").format(
            version=report["torch"],
            cuda=_("no, {reason}").format(reason=report["why_no_cuda"]) if report["why_no_cuda"] else _("yes"),
        )
        self._updating = True
        try:
            ui.deviceCombo.clear()
            ui.deviceCombo.addItem(_("Auto"), "auto")
            for device in report["devices"] or [{"label": "cpu", "name": "cpu"}]:
                ui.deviceCombo.addItem(device["label"], device["name"])
        finally:
            self._updating = False
        self._update()
        self._showLog()

    def _onReportFailed(self, error):
        self.ui.torchInfoLabel.text = messageOf(error)
        self._showLog()

    def onInstallButton(self, *_args):
        """Install PyTorch through the PyTorch extension."""
        self.ui.torchInfoLabel.text = _("Installing PyTorch; this takes some minutes...")
        slicer.app.processEvents()
        try:
            installed = self.logic.installPyTorch()
        except Exception as error:  # whatever it is, the panel must say it
            self.ui.torchInfoLabel.text = messageOf(error)
            return
        if installed:
            self._report()
        else:
            self.ui.torchInfoLabel.text = _("PyTorch was not installed.")

    def _showDevice(self, message):
        self.ui.deviceInfoLabel.text = _("Computed on {device}, {reason}.").format(
            device=message["device"], reason=message["device_reason"]
        )
        self._progress.device = self.ui.deviceInfoLabel.text

    def _showLog(self):
        self.ui.logText.setPlainText("\n".join(self.logic.worker.client.log))
        bar = self.ui.logText.verticalScrollBar()
        bar.setValue(bar.maximum)


class LDCTDenoiseLogic(ScriptedLoadableModuleLogic):
    """Denoising for scripts and for the panel.

    Example for the Python console::

        import LDCTDenoise
        volume = slicer.util.getNode("CTChest")
        result = LDCTDenoise.LDCTDenoiseLogic().process(volume, None)
        slicer.util.setSliceViewerLayers(background=result["output"])
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.worker = sharedWorker()

    def getParameterNode(self):
        return LDCTDenoiseParameterNode(super().getParameterNode())

    def process(
        self,
        inputVolume,
        outputVolume,
        model="default",
        blend=1.0,
        levels=None,
        device="auto",
        slices=None,
        wait=True,
        precision="auto",
        batchSize=None,
        force=False,
        noiseMap=None,
        reference=None,
        allFrames=False,
    ):
        """Denoise a volume; the window stays alive meanwhile.

        Example for the Python console::

            logic = LDCTDenoise.LDCTDenoiseLogic()
            volume = slicer.util.getNode("CTChest")
            output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Denoised")
            logic.process(volume, output, blend=0.7)

        Args:
            inputVolume: scalar volume node, CT in HU.
            outputVolume: scalar volume node; None makes a new one, "<input> denoised".
            model: a shipped model's name, or a model file.
            blend: weight of the denoised image, 0 to 1; the rest is the input.
            levels: how many levels of the cascade to use; None is all.
            device: "auto", "cuda", "cuda:N", "mps" or "cpu".
            slices: zero-based half-open range (first, last + 1); the others are copied. None is all.
            wait: False returns at once; see ``startProcess`` to hear of the end.
            precision: "auto", "float32", "float16" or "bfloat16".
            batchSize: slices computed together; None chooses by free memory.
            force: denoise voxels that do not look like HU.
            noiseMap: scalar volume node for what was removed; "new" makes one, None makes none.
            reference: normal-dose volume on the same grid, to measure against.
            allFrames: denoise every frame of the sequence that the input shows.

        Returns:
            A dictionary with ``input``, ``output``, ``noiseMap`` (nodes), ``slices``, ``device``, ``device_reason``, ``model``,
            ``model_hash``, ``levels``, ``seconds`` and ``comparison``; without ``wait`` the run, which has ``running`` and
            ``cancel()``.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: the volume, an option or the machine does not allow it; nothing was
                changed. ``DenoisingCancelled`` when somebody cancelled it.
        """
        outcome = []
        run = self.startProcess(
            inputVolume,
            outputVolume,
            model=model,
            blend=blend,
            levels=levels,
            device=device,
            slices=slices,
            precision=precision,
            batchSize=batchSize,
            force=force,
            noiseMap=noiseMap,
            reference=reference,
            allFrames=allFrames,
            onFinished=outcome.append,
            onFailed=outcome.append,
        )
        return _outcomeOf(run, outcome) if wait else run

    def startProcess(
        self,
        inputVolume,
        outputVolume,
        model="default",
        blend=1.0,
        levels=None,
        device="auto",
        slices=None,
        precision="auto",
        batchSize=None,
        force=False,
        noiseMap=None,
        reference=None,
        allFrames=False,
        onProgress=None,
        onFinished=None,
        onFailed=None,
    ):
        """Begin to denoise a volume and return at once; the options are those of :meth:`process`.

        Example for the Python console::

            logic.startProcess(volume, None, onProgress=print, onFinished=lambda result: print(result["comparison"]))

        Args:
            onProgress: called with (slices done, slices to do).
            onFinished: called with the dictionary that :meth:`process` returns.
            onFailed: called with the exception; nothing was changed.

        Returns:
            The run, which has ``running`` and ``cancel()``.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: the nodes cannot be used, or another run is going on.
        """
        settings = Settings(str(model), levels, blend, device, precision, batchSize, force)
        callbacks = Callbacks()
        callbacks.progress = onProgress or callbacks.progress
        callbacks.finished = onFinished or callbacks.finished
        callbacks.failed = onFailed or callbacks.failed
        dependencies.ensurePackages(dependencies.REQUIREMENTS)
        return DenoiseRun(
            self.worker,
            inputVolume,
            NEW if outputVolume is None else outputVolume,
            settings,
            callbacks,
            slices=slices,
            noiseMapNode=noiseMap,
            referenceNode=reference,
            allFrames=allFrames,
        )

    def cancel(self):
        """End the run that is going on, if there is one, within two seconds; the scene stays as it was."""
        if self.worker.run is not None:
            self.worker.run.cancel()

    def preview(self, inputVolume, model="default", blend=1.0, levels=None, device="auto", precision="auto", force=False):
        """Denoise the slice that the Red view shows and lay it over the view.

        Example for the Python console::

            preview = logic.preview(slicer.util.getNode("CTChest"))
            preview.setOpacity(0.5)
            preview.cleanup()

        Returns:
            The preview: ``setOpacity(0..1)`` fades it, ``cleanup()`` takes it away without a trace.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: the view or the volume does not allow it.
        """
        outcome = []
        preview = Preview(self.worker, lambda index, result: outcome.append(result), outcome.append)
        try:
            preview.show(inputVolume, Settings(str(model), levels, blend, device, precision, None, force))
            _outcomeOf(preview, outcome)
        except BaseException:
            preview.cleanup()
            raise
        return preview

    def exportToDICOM(self, outputVolume, folder):
        """Write a result as a DICOM series derived from the one its input was loaded from, and add it to Slicer's database.

        Example for the Python console::

            result = logic.process(slicer.util.getNode("3: Abdomen"), None)
            logic.exportToDICOM(result["output"], "/path/to/new/folder")

        Args:
            outputVolume: a volume node that this module made.
            folder: to make; every slice becomes a file with the geometry and patient of its source.

        Returns:
            The SeriesInstanceUIDs that were written.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: the input was not loaded from DICOM, or the folder cannot be written.
        """
        dependencies.ensurePackages(dependencies.DICOM_REQUIREMENTS)
        return _runSteps(dicomExport.exportSteps(self.worker, outputVolume, Path(folder)))

    def installPyTorch(self, askConfirmation=True):
        """Install PyTorch through the PyTorch extension, which picks the build for this machine's GPU.

        Example for the Python console::

            LDCTDenoise.LDCTDenoiseLogic().installPyTorch()

        Returns:
            Whether it was installed; the user may decline.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: the PyTorch extension is missing, or a run is going on.
        """
        if self.worker.run is not None and self.worker.run.running:
            raise LDCTDenoiseError(_("A volume is being denoised; wait for it or cancel it, then install PyTorch."))
        self.worker.shutdown()  # its files would be in use, and it would not see the new ones
        return dependencies.installTorch(askConfirmation)

    def deviceReport(self):
        """Which devices there are, and what PyTorch says.

        Example for the Python console::

            print(LDCTDenoise.LDCTDenoiseLogic().deviceReport())

        Returns:
            A dictionary: ``torch`` (version or None), ``torch_problem``, ``why_no_cuda``, ``devices`` (list of name and
            label), ``threads``, ``python``, ``software``.
        """
        return _runSteps(self._reportSteps())

    def startDeviceReport(self, onFinished, onFailed):
        """The same without waiting; the callbacks get the report or the exception."""
        return EventLoopTask(self._reportSteps(), onFinished, onFailed)

    def _reportSteps(self):
        return self.worker.do({"request": "report"})

    def loadPhantom(self):
        """Scan the library's phantom at a quarter of a usual dose, into a new volume node, which is returned.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: PyTorch is missing, or the worker failed.
        """
        return _runSteps(sampleData.phantomSteps(self.worker))

    def simulateQuarterDose(self, volume):
        """Insert the noise of a quarter of the dose into a normal-dose CT, into a new volume node, which is returned.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: the volume is no CT in HU, PyTorch is missing, or the worker failed.
        """
        checkInput(volume)
        return _runSteps(sampleData.simulateSteps(self.worker, volume))

    def shutdown(self):
        """End the worker; the next call starts a fresh one."""
        self.worker.shutdown()


def _outcomeOf(running, outcome):
    """Keep the window alive until something has ended; return its result or raise its error."""
    while running.running:
        slicer.app.processEvents()
        time.sleep(WAIT_S)
    if not outcome:
        raise DenoisingCancelled(_("The computation was stopped; nothing was changed."))
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _runSteps(steps):
    outcome = []
    return _outcomeOf(EventLoopTask(steps, outcome.append, outcome.append), outcome)


def _firstScalarVolume():
    nodes = slicer.mrmlScene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    nodes.UnRegister(None)
    for index in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(index)
        # Not a label map, not a vector volume: those are of classes of their own.
        if node.GetClassName() == "vtkMRMLScalarVolumeNode" and not node.GetHideFromEditors():
            return node
    return None


def _select(combo, value, text=None, before=None):
    """Select an item by its data; where there is none, add it under ``text`` (before the item ``before``)."""
    index = combo.findData(value)
    if index < 0 and text is not None:
        index = combo.count if before is None else combo.findText(before)
        combo.insertItem(index, text, value)
    combo.setCurrentIndex(index)


class LDCTDenoiseTest(ScriptedLoadableModuleTest):
    """The self-tests: run by ctest and by Reload and Test, in Slicer and outside. Without PyTorch they are skipped."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.logic = LDCTDenoiseLogic()
        problem = self.logic.deviceReport()["torch_problem"]
        if problem:
            self.delayDisplay(_("Skipped: {problem}").format(problem=problem))
            self.skipTest(problem)

    def tearDown(self):
        slicer.mrmlScene.Clear()

    def _phantom(self):
        return _runSteps(sampleData.phantomSteps(self.logic.worker, (2, 144, 144)))

    def test_GeometryAndTypeAreKept(self):
        volume = self._phantom()
        result = self.logic.process(volume, None)
        output = result["output"]
        for read in (volume, output):
            read.matrix = vtk.vtkMatrix4x4()
            read.GetIJKToRASMatrix(read.matrix)
        for row in range(4):
            for column in range(4):
                self.assertEqual(output.matrix.GetElement(row, column), volume.matrix.GetElement(row, column))
        self.assertEqual(output.GetImageData().GetDimensions(), volume.GetImageData().GetDimensions())
        self.assertEqual(output.GetImageData().GetScalarType(), volume.GetImageData().GetScalarType())
        self.assertEqual(output.GetAttribute("LDCTDenoise.ModelHash"), result["model_hash"])

    def test_NoiseFallsAndHUStay(self):
        figures = self.logic.process(self._phantom(), None)["comparison"]
        self.assertLess(figures["noise_after"], 0.7 * figures["noise_before"])
        self.assertLess(abs(figures["mean_shift"]), 2.0)

    def test_StrengthZeroChangesNothing(self):
        volume = self._phantom()
        output = self.logic.process(volume, None, blend=0.0)["output"]
        difference = slicer.util.arrayFromVolume(volume) - slicer.util.arrayFromVolume(output)
        self.assertFalse(difference.any())

    def test_CancelLeavesTheSceneAsItWas(self):
        volume = self._phantom()
        before = slicer.mrmlScene.GetNumberOfNodes()
        outcome = []
        run = self.logic.startProcess(volume, None, onFinished=outcome.append, onFailed=outcome.append)
        self.logic.cancel()
        with self.assertRaises(DenoisingCancelled):
            _outcomeOf(run, outcome)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def test_PreviewLeavesNoClutter(self):
        if slicer.mrmlScene.GetNodeByID(RED_SLICE) is None:
            self.skipTest(_("There is no Red slice view."))
        volume = self._phantom()
        sliceNode = slicer.mrmlScene.GetNodeByID(RED_SLICE)
        sliceNode.SetOrientationToAxial()
        sliceNode.SetSliceOffset(volume.GetOrigin()[2])
        before = slicer.mrmlScene.GetNumberOfNodes()
        preview = self.logic.preview(volume)
        self.assertEqual(preview.index, 0)
        preview.cleanup()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def test_WhatIsNoCTIsRefused(self):
        with self.assertRaisesRegex(LDCTDenoiseError, "Choose an input volume"):
            self.logic.process(None, None)
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        with self.assertRaisesRegex(LDCTDenoiseError, "Empty is empty"):
            self.logic.process(empty, None)
        labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
        with self.assertRaisesRegex(LDCTDenoiseError, "label map"):
            self.logic.process(labels, None)
        volume = self._phantom()
        slicer.util.arrayFromVolume(volume)[:] += 2000
        with self.assertRaisesRegex(LDCTDenoiseError, "do not look like HU"):
            self.logic.process(volume, None)
        with self.assertRaisesRegex(LDCTDenoiseError, "no model"):
            self.logic.process(self._phantom(), None, model="nonsense")
