"""A run: a volume, or every frame of a sequence, denoised into new voxels that reach the scene only when all are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from LDCTDenoiseLib.errors import InputError, WorkerError

from .denoiseInWorker import Settings, denoiseSlices, noiseType
from .eventLoopTask import EventLoopTask, Steps
from .outputNodes import (
    addVolume,
    copyDisplay,
    denoisedName,
    fillOutput,
    noiseMapName,
    record,
    setNoiseWindow,
    sourceOf,
)
from .parentTransform import ParentTransform
from .runCallbacks import RunCallbacks
from .runOutcome import RunOutcome, figuresOf
from .sequences import browserOf, framesOf, sequenceOf, showSequence
from .volumeArrays import checkInput, ijkToRAS, newImage, pixelSpacing, sliceAxis, sliceCount, slicesOf

if TYPE_CHECKING:
    from .workerProcess import Worker

NEW = "new"
"""In place of a node: make one when the result is there."""


class DenoiseRun(VTKObservationMixin):
    """One press of Apply.

    Nodes are held by ID and looked up again after every wait: a user may delete them or close the scene meanwhile, and
    then the run ends with a message and the scene as it was.

    Args:
        worker: a ``workerProcess.Worker``.
        inputNode: scalar volume node.
        outputNode: scalar volume node, or ``NEW``.
        settings: how to denoise.
        callbacks: who hears of it.
        slices: zero-based half-open range, or None for all.
        noiseMapNode: scalar volume node, ``NEW``, or None for none.
        referenceNode: normal-dose volume on the same grid, or None.
        allFrames: denoise every frame of the sequence that the input shows, into a new sequence.

    Raises:
        InputError: the nodes cannot be used together.
        WorkerError: another run is going on.
    """

    def __init__(
        self,
        worker: Worker,
        inputNode: slicer.vtkMRMLScalarVolumeNode,
        outputNode: slicer.vtkMRMLScalarVolumeNode,
        settings: Settings,
        callbacks: RunCallbacks,
        slices: tuple[int, int] | None = None,
        noiseMapNode: slicer.vtkMRMLScalarVolumeNode | str | None = None,
        referenceNode: slicer.vtkMRMLScalarVolumeNode | None = None,
        allFrames: bool = False,
    ) -> None:
        VTKObservationMixin.__init__(self)
        if worker.run is not None and worker.run.running:
            raise WorkerError(_("A volume is being denoised already; wait for it or cancel it."))
        checkInput(inputNode)
        _checkOutput(outputNode, inputNode, referenceNode, _("output"))
        if noiseMapNode is not None:
            _checkOutput(noiseMapNode, inputNode, referenceNode, _("noise map"))
            if noiseMapNode is outputNode and noiseMapNode is not NEW:
                raise InputError(_("Output and noise map are the same volume; choose two."))
        if referenceNode is not None:
            _checkReference(referenceNode, inputNode)
        if allFrames:
            _checkSequence(inputNode, noiseMapNode)
        self._worker = worker
        self._settings = settings
        self._callbacks = callbacks
        first, stop = slices or (0, sliceCount(inputNode))
        self._slices = (first, stop)
        self._inputID = inputNode.GetID()
        self._outputID = _idOf(outputNode)
        self._noiseMapID = _idOf(noiseMapNode)
        self._referenceID = _idOf(referenceNode)
        self._needed = {self._inputID, self._outputID, self._noiseMapID, self._referenceID} - {None, NEW}
        if allFrames:
            self._needed |= {node.GetID() for node in (browserOf(inputNode), sequenceOf(inputNode)) if node is not None}
        self._ended: Exception | None = None
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeRemovedEvent, self._onNodeRemoved)
        worker.run = self
        self._task = EventLoopTask(self._sequenceSteps() if allFrames else self._volumeSteps(), self._finished, self._failed)

    @property
    def running(self) -> bool:
        """Whether it has neither finished nor failed."""
        return self._task.running

    def cancel(self) -> None:
        """End the run within two seconds; ``failed`` hears of it."""
        self._task.cancel()

    def wait(self) -> None:
        """Keep the window alive until the run has ended; quitting the application aborts it."""
        self._task.wait()
        self.removeObservers()

    def abort(self) -> None:
        """End the run at once and silently."""
        self.removeObservers()
        self._task.abort()

    def _onSceneClose(self, *_args: Any) -> None:
        self._end(InputError(_("The scene was closed during the run; nothing was changed.")))

    def _onNodeRemoved(self, *_args: Any) -> None:
        if any(slicer.mrmlScene.GetNodeByID(nodeID) is None for nodeID in self._needed):
            self._end(InputError(_("A volume of this run was deleted while it was going on; nothing was changed.")))

    def _tell(self, callback: Callable[..., Any], *told: Any) -> None:
        """A callback of a script that fails ends the run: silence instead would look like a worker that hangs."""
        try:
            callback(*told)
        except Exception as error:
            self._end(error)

    def _end(self, reason: Exception) -> None:
        self._ended = self._ended or reason
        self._task.cancel()

    def _finished(self, result: dict[str, Any]) -> None:
        self.removeObservers()
        self._callbacks.finished(result)

    def _failed(self, error: Exception) -> None:
        self.removeObservers()
        self._callbacks.failed(self._ended or error)

    def _volumeSteps(self) -> Steps:
        inputNode = self._target(self._inputID)
        transform = ParentTransform(inputNode)
        outcome = yield from self._compute(inputNode, lambda done, total: self._tell(self._callbacks.progress, done, total))
        inputNode = self._target(self._inputID)
        output, noiseMap = self._target(self._outputID), self._target(self._noiseMapID)
        output = addVolume(denoisedName(inputNode.GetName())) if output is NEW else output
        fillOutput(output, inputNode, outcome.image, outcome.place, transform, outcome.record)
        copyDisplay(inputNode, output)
        if noiseMap is not None:
            noiseMap = addVolume(noiseMapName(inputNode.GetName())) if noiseMap is NEW else noiseMap
            fillOutput(noiseMap, inputNode, outcome.noise, outcome.place, transform, outcome.record)
            copyDisplay(inputNode, noiseMap)
            setNoiseWindow(noiseMap, outcome.noiseSD)
        return {**figuresOf(outcome.answer), "input": inputNode, "output": output, "noiseMap": noiseMap, "slices": self._slices}

    def _sequenceSteps(self) -> Steps:
        inputNode = self._target(self._inputID)
        frames, transform = framesOf(inputNode), ParentTransform(inputNode)
        outcomes = []
        for number, frame in enumerate(frames):
            checkInput(frame)

            def progress(done: int, total: int, number: Any = number) -> None:
                self._tell(self._callbacks.progress, number * total + done, len(frames) * total)

            outcomes.append((yield from self._compute(frame, progress)))
        inputNode = self._target(self._inputID)
        first = outcomes[0].answer
        output = showSequence(inputNode, outcomes, transform)
        seconds = sum(outcome.answer.seconds for outcome in outcomes)
        nodes = {"input": inputNode, "output": output, "noiseMap": None}
        return {**figuresOf(first), **nodes, "seconds": seconds, "slices": self._slices, "frames": len(frames)}

    def _compute(self, node: slicer.vtkMRMLScalarVolumeNode, progress: Callable[[int, int], Any]) -> Steps:
        """Steps that denoise one volume node; they return its ``RunOutcome``."""
        source, axis, spacing = node.GetImageData(), sliceAxis(node), pixelSpacing(node)
        place, told = ijkToRAS(node), sourceOf(node)
        hu = slicesOf(source, axis)
        image = newImage(source, hu.dtype)
        denoised = slicesOf(image, axis)
        referenceNode = self._target(self._referenceID)
        reference = slicesOf(referenceNode.GetImageData(), axis) if referenceNode else None
        noise = newImage(source, noiseType(hu.dtype)) if self._noiseMapID else None
        answer, noiseSD = yield from denoiseSlices(
            self._worker,
            hu,
            denoised,
            spacing,
            self._settings,
            slices=self._slices,
            reference=reference,
            noise=None if noise is None else slicesOf(noise, axis),
            compare=True,
            progress=progress,
            started=lambda event: self._tell(self._callbacks.started, asdict(event)),
        )
        return RunOutcome(image, noise, noiseSD, answer, place, record(told, answer.made))

    def _target(self, nodeID: str | None) -> Any:
        return nodeID if nodeID in (None, NEW) else slicer.mrmlScene.GetNodeByID(nodeID)


def _idOf(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    return node if node in (None, NEW) else node.GetID()


def _checkOutput(
    node: slicer.vtkMRMLScalarVolumeNode,
    inputNode: slicer.vtkMRMLScalarVolumeNode,
    referenceNode: slicer.vtkMRMLScalarVolumeNode | None,
    role: str,
) -> None:
    if node is NEW:
        return
    if node is inputNode:
        raise InputError(_("The {role} is the input itself; choose another volume, so that nothing is lost.").format(role=role))
    if node is referenceNode:
        raise InputError(_("The {role} is the reference; choose another volume, so that nothing is lost.").format(role=role))
    if not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode") or node.IsA("vtkMRMLVectorVolumeNode"):
        raise InputError(_("The {role} must be a scalar volume; choose another.").format(role=role))
    if browserOf(node) is not None:
        raise InputError(
            _("The {role} shows a sequence, whose next frame would overwrite it; choose another volume.").format(role=role)
        )


def _checkSequence(inputNode: slicer.vtkMRMLScalarVolumeNode, noiseMapNode: slicer.vtkMRMLScalarVolumeNode | str | None) -> None:
    if sequenceOf(inputNode) is None:
        raise InputError(_("{name} is not shown by a sequence; untick 'All frames'.").format(name=inputNode.GetName()))
    if noiseMapNode is not None:
        raise InputError(_("A noise map is made of one frame only; choose no noise map, or untick 'All frames'."))


def _checkReference(node: slicer.vtkMRMLScalarVolumeNode, inputNode: slicer.vtkMRMLScalarVolumeNode) -> None:
    checkInput(node)
    matrices = [ijkToRAS(volume) for volume in (node, inputNode)]
    same = all(
        abs(matrices[0].GetElement(row, column) - matrices[1].GetElement(row, column)) < 1e-3
        for row in range(3)
        for column in range(4)
    )
    if not same or node.GetImageData().GetDimensions() != inputNode.GetImageData().GetDimensions():
        raise InputError(
            _("The reference {name} lies on another grid than the input; choose a normal-dose volume of the same scan.").format(
                name=node.GetName()
            )
        )
