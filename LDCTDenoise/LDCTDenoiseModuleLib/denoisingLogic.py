"""What the module does, for scripts and for the panel alike."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import LDCTDenoiseError
from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.worker.messages import DeviceReport, Report

from . import dependencies, dicomExport, sampleData
from .denoiseInWorker import Settings
from .denoiseRun import NEW, DenoiseRun
from .eventLoopTask import EventLoopTask
from .lesionTest import lesionMapSteps, lesionTestSteps
from .preview import Preview
from .runCallbacks import RunCallbacks
from .sampleProgress import SampleProgress
from .volumeArrays import checkInput, nodeOf
from .waiting import outcomeOf, runSteps
from .workerProcess import sharedWorker


class DenoisingLogic:
    """Denoising, preview, export and set-up; the panel's buttons and a script's calls go the same way."""

    getParameterNode: Callable[[], Any]
    """The scene's parameter node, which the panel follows; Slicer's base class of logics brings it."""

    def __init__(self) -> None:
        self.worker = sharedWorker()

    def process(
        self,
        inputVolume: slicer.vtkMRMLScalarVolumeNode | str,
        outputVolume: slicer.vtkMRMLScalarVolumeNode | str | None,
        model: str | Path = "default",
        blend: float = 1.0,
        levels: int | None = None,
        device: str = "auto",
        slices: tuple[int, int] | None = None,
        wait: bool = True,
        precision: str = "auto",
        batchSize: int | None = None,
        force: bool = False,
        noiseMap: slicer.vtkMRMLScalarVolumeNode | str | None = None,
        reference: slicer.vtkMRMLScalarVolumeNode | None = None,
        allFrames: bool = False,
    ) -> Any:
        """Denoise a volume; the window stays alive meanwhile.

        Example for the Python console::

            logic = LDCTDenoise.LDCTDenoiseLogic()
            volume = slicer.util.getNode("CTChest")
            output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Denoised")
            logic.process(volume, output, blend=0.7)

        Args:
            inputVolume: scalar volume node or its name, CT in HU.
            outputVolume: scalar volume node or its name; None makes a new one, "<input> denoised".
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
        outcome: list[Any] = []
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
        return outcomeOf(run, outcome) if wait else run

    def startProcess(
        self,
        inputVolume: slicer.vtkMRMLScalarVolumeNode | str,
        outputVolume: slicer.vtkMRMLScalarVolumeNode | str | None,
        model: str | Path = "default",
        blend: float = 1.0,
        levels: int | None = None,
        device: str = "auto",
        slices: tuple[int, int] | None = None,
        precision: str = "auto",
        batchSize: int | None = None,
        force: bool = False,
        noiseMap: slicer.vtkMRMLScalarVolumeNode | str | None = None,
        reference: slicer.vtkMRMLScalarVolumeNode | str | None = None,
        allFrames: bool = False,
        onProgress: Callable[[int, int], Any] | None = None,
        onFinished: Callable[[dict[str, Any]], Any] | None = None,
        onFailed: Callable[[Exception], Any] | None = None,
    ) -> DenoiseRun:
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
        inputVolume, outputVolume, reference = (nodeOf(node) for node in (inputVolume, outputVolume, reference))
        noiseMap = noiseMap if noiseMap == NEW else nodeOf(noiseMap)
        options = DenoisingOptions(
            model=str(model), levels=levels, blend=blend, device=device, precision=precision, batch_size=batchSize
        )
        callbacks = RunCallbacks()
        callbacks.progress = onProgress or callbacks.progress
        callbacks.finished = onFinished or callbacks.finished
        callbacks.failed = onFailed or callbacks.failed
        return self.startRun(
            inputVolume,
            NEW if outputVolume is None else outputVolume,
            Settings(options, force),
            callbacks,
            slices=slices,
            noiseMap=noiseMap,
            reference=reference,
            allFrames=allFrames,
        )

    def startRun(
        self,
        inputVolume: slicer.vtkMRMLScalarVolumeNode,
        outputVolume: slicer.vtkMRMLScalarVolumeNode | str,
        settings: Settings,
        callbacks: RunCallbacks,
        *,
        slices: tuple[int, int] | None = None,
        noiseMap: slicer.vtkMRMLScalarVolumeNode | str | None = None,
        reference: slicer.vtkMRMLScalarVolumeNode | None = None,
        allFrames: bool = False,
    ) -> DenoiseRun:
        """Begin a run, after installing what it needs; the panel and :meth:`process` both end up here.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: the nodes cannot be used, a package is missing, or another run is going on.
        """
        dependencies.ensurePackages(dependencies.REQUIREMENTS)
        return DenoiseRun(
            self.worker,
            inputVolume,
            outputVolume,
            settings,
            callbacks,
            slices=slices,
            noiseMapNode=noiseMap,
            referenceNode=reference,
            allFrames=allFrames,
        )

    def cancel(self) -> None:
        """End the run that is going on, if there is one, within two seconds; the scene stays as it was."""
        if self.worker.run is not None:
            self.worker.run.cancel()

    def preview(
        self,
        inputVolume: slicer.vtkMRMLScalarVolumeNode,
        model: str | Path = "default",
        blend: float = 1.0,
        levels: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        force: bool = False,
    ) -> Preview:
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
        outcome: list[Any] = []
        preview = self.newPreview(lambda index, result: outcome.append(result), outcome.append)
        try:
            options = DenoisingOptions(model=str(model), levels=levels, blend=blend, device=device, precision=precision)
            preview.show(nodeOf(inputVolume), Settings(options, force))
            outcomeOf(preview, outcome)
        except BaseException:
            preview.cleanup()
            raise
        return preview

    def newPreview(self, shown: Callable[[int, dict[str, Any]], Any], failed: Callable[[Exception], Any]) -> Preview:
        """A preview that shows nothing yet, after installing what it needs; see :class:`Preview`.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: a package is missing.
        """
        dependencies.ensurePackages(dependencies.REQUIREMENTS)
        return Preview(self.worker, shown, failed)

    def lesionTest(
        self,
        inputVolume: slicer.vtkMRMLScalarVolumeNode | str,
        point: Sequence[float],
        contrast: float = -20.0,
        diameters: Sequence[float] = (8.0,),
        model: str | Path = "default",
        blend: float = 1.0,
        levels: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        force: bool = False,
    ) -> dict[str, Any]:
        """Insert a disc into a copy of a slice and see what denoising leaves of it; no volume is changed.

        Example for the Python console::

            result = logic.lesionTest(slicer.util.getNode("CTChest"), (10, -20, -495), contrast=-20, diameters=(4, 8))
            print([answer["signal_kept"] for answer in result["answers"]])

        Args:
            inputVolume: scalar volume node or its name, CT in HU.
            point: RAS of the disc's middle in mm, as a markup gives it.
            contrast: of the disc against what is there, HU.
            diameters: of the discs, mm; each is inserted alone.

        Returns:
            ``slice``, ``place`` (row, column), ``device``, ``seconds`` and ``answers``: for each disc ``contrast``, ``diameter``,
            ``signal_kept`` (1 is all), ``noise_before``, ``noise_after``, ``cnr_before``, ``cnr_after`` and ``pictures``.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: the place or the volume does not allow it.
        """
        options = DenoisingOptions(model=str(model), levels=levels, blend=blend, device=device, precision=precision)
        settings = Settings(options, force)
        outcome: list[Any] = []
        task = self.startLesionTest(nodeOf(inputVolume), point, contrast, diameters, settings, outcome.append, outcome.append)
        result: dict[str, Any] = outcomeOf(task, outcome)
        return result

    def startLesionTest(
        self,
        inputVolume: slicer.vtkMRMLScalarVolumeNode,
        point: Sequence[float],
        contrast: float,
        diameters: Sequence[float],
        settings: Settings,
        onFinished: Callable[[dict[str, Any]], Any],
        onFailed: Callable[[Exception], Any],
    ) -> EventLoopTask:
        """The same without waiting; the callbacks get the result or the exception."""
        dependencies.ensurePackages(dependencies.REQUIREMENTS)
        steps = lesionTestSteps(self.worker, inputVolume, point, contrast, diameters, settings)
        return EventLoopTask(steps, onFinished, onFailed)

    def startLesionMap(
        self,
        inputVolume: slicer.vtkMRMLScalarVolumeNode,
        index: int,
        contrast: float,
        diameter: float,
        settings: Settings,
        onProgress: Callable[[int, int], Any],
        onFinished: Callable[[dict[str, Any]], Any],
        onFailed: Callable[[Exception], Any],
    ) -> EventLoopTask:
        """Do the lesion test at many places of a slice; the callbacks hear of progress, and of the maps or the exception."""
        dependencies.ensurePackages(dependencies.REQUIREMENTS)
        steps = lesionMapSteps(self.worker, inputVolume, index, contrast, diameter, settings, onProgress)
        return EventLoopTask(steps, onFinished, onFailed)

    def exportToDICOM(self, outputVolume: slicer.vtkMRMLScalarVolumeNode, folder: str | Path) -> list[str]:
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
        series: list[str] = runSteps(self._exportSteps(outputVolume, folder))
        return series

    def startExport(
        self,
        outputVolume: slicer.vtkMRMLScalarVolumeNode,
        folder: str | Path,
        onFinished: Callable[[list[str]], Any],
        onFailed: Callable[[Exception], Any],
    ) -> EventLoopTask:
        """The same without waiting; the callbacks get the SeriesInstanceUIDs or the exception."""
        return EventLoopTask(self._exportSteps(outputVolume, folder), onFinished, onFailed)

    def _exportSteps(self, outputVolume: slicer.vtkMRMLScalarVolumeNode, folder: str | Path) -> Generator[Any, None, list[str]]:
        dependencies.ensurePackages(dependencies.DICOM_REQUIREMENTS)
        return dicomExport.exportSteps(self.worker, outputVolume, Path(folder))

    def installPyTorch(self, askConfirmation: bool = True) -> bool:
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

    def deviceReport(self) -> dict[str, Any]:
        """Which devices there are, and what PyTorch says.

        Example for the Python console::

            print(LDCTDenoise.LDCTDenoiseLogic().deviceReport())

        Returns:
            A dictionary: ``torch`` (version or None), ``torch_problem``, ``why_no_cuda``, ``devices`` (list of name and
            label), ``threads``, ``problem``, ``python``, ``software``.
        """
        return asdict(runSteps(self._reportSteps()))

    def startDeviceReport(
        self, onFinished: Callable[[dict[str, Any]], Any], onFailed: Callable[[Exception], Any]
    ) -> EventLoopTask:
        """The same without waiting; the callbacks get the report or the exception."""
        return EventLoopTask(self._reportSteps(), lambda report: onFinished(asdict(report)), onFailed)

    def _reportSteps(self) -> Generator[Any, None, DeviceReport]:
        return self.worker.do(Report())

    def loadPhantom(self) -> slicer.vtkMRMLScalarVolumeNode:
        """Scan the library's phantom at a quarter of a usual dose, into a new volume node, which is returned.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: a package is missing, or the worker failed.
        """
        dependencies.ensurePackages(dependencies.SIMULATION_REQUIREMENTS)
        shown = SampleProgress(sampleData.PHANTOM)
        return shown.run(sampleData.phantomSteps(self.worker, progress=shown.tell))

    def simulateQuarterDose(self, volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode:
        """Insert the noise of a quarter of the dose into a normal-dose CT, into a new volume node, which is returned.

        Raises:
            LDCTDenoiseLib.errors.LDCTDenoiseError: the volume is no CT in HU, a package is missing, or the worker failed.
        """
        checkInput(volume)
        dependencies.ensurePackages(dependencies.SIMULATION_REQUIREMENTS)
        shown = SampleProgress(sampleData.CHEST)
        return shown.run(sampleData.simulateSteps(self.worker, volume, progress=shown.tell))

    def shutdown(self) -> None:
        """End the worker; the next call starts a fresh one."""
        self.worker.shutdown()
