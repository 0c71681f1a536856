"""The slice shown in the Red view, denoised and laid over the input; gone without a trace when it is switched off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from LDCTDenoiseLib.errors import InputError

from .denoiseInWorker import denoiseSlices
from .eventLoopTask import EventLoopTask, Steps
from .outputNodes import copyDisplay
from .volumeArrays import checkInput, newImage, pixelSpacing, sliceAxis, sliceCount, slicesOf

if TYPE_CHECKING:
    from .denoiseInWorker import Settings
    from .workerProcess import Worker

RED_SLICE = "vtkMRMLSliceNodeRed"
RED_COMPOSITE = "vtkMRMLSliceCompositeNodeRed"
_PARALLEL = 0.999


def shownSlice(volumeNode: slicer.vtkMRMLScalarVolumeNode, sliceNode: slicer.vtkMRMLSliceNode) -> int:
    """Index of the volume's slice in the middle of a slice view.

    Raises:
        InputError: the view shows another plane than the volume's slices, or lies outside the volume.
    """
    sliceToRAS = sliceNode.GetSliceToRAS()
    toLocal = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volumeNode.GetParentTransformNode(), toLocal)
    rasToIJK = vtk.vtkMatrix4x4()
    volumeNode.GetRASToIJKMatrix(rasToIJK)
    axis = 2 - sliceAxis(volumeNode)

    def place(point: Any) -> float:
        return rasToIJK.MultiplyPoint([*toLocal.TransformPoint(sliceToRAS.MultiplyPoint([*point, 1])[:3]), 1])[axis]

    # The plane is the volume's own when walking 100 mm within it stays on one slice.
    centre, right, up = place((0, 0, 0)), place((100, 0, 0)), place((0, 100, 0))
    if max(abs(right - centre), abs(up - centre)) > 100 * (1 - _PARALLEL):
        raise InputError(_("The Red view does not show the volume's axial slices; set it to Axial, or rotate it to the volume."))
    index = int(np.floor(centre + 0.5))
    if not 0 <= index < sliceCount(volumeNode):
        raise InputError(_("The Red view shows a place outside the volume; scroll it to a slice."))
    return index


class Preview(VTKObservationMixin):
    """Shows one denoised slice in the Red view.

    Args:
        worker: a ``workerProcess.Worker``.
        shown: called with (slice index, result) when a preview is on the screen.
        failed: called with an exception.
    """

    def __init__(self, worker: Worker, shown: Callable[[int, dict[str, Any]], Any], failed: Callable[[Exception], Any]) -> None:
        VTKObservationMixin.__init__(self)
        self._worker = worker
        self._shown = shown
        self._failed = failed
        self._task: EventLoopTask | None = None
        self._wanted: tuple[str, int, Settings] | None = None
        self._node: Any = None
        self._index: int | None = None
        self._previous: tuple[str | None, str | None, float] | None = None
        self.opacity = 1.0
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneClose)

    @property
    def running(self) -> bool:
        return self._task is not None and self._task.running

    @property
    def index(self) -> int | None:
        """Index of the slice on the screen; None when there is none."""
        return self._index

    @property
    def volumeID(self) -> str | None:
        """ID of the volume whose slices are wanted; None when none are."""
        return self._wanted[0] if self._wanted else None

    def show(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, settings: Settings) -> None:
        """Denoise the slice that the Red view shows, and lay it over.

        Raises:
            InputError: nothing can be previewed.
            WorkerError: a computation is going on.
        """
        checkInput(volumeNode)
        sliceNode = slicer.mrmlScene.GetNodeByID(RED_SLICE)
        if sliceNode is None:
            raise InputError(_("There is no Red slice view; choose a layout that has one."))
        index = shownSlice(volumeNode, sliceNode)
        self._wanted = (volumeNode.GetID(), index, settings)
        # A slice is computed in one go and cannot be stopped; the latest one that is wanted comes next.
        if not self.running:
            self._start()

    def _start(self) -> None:
        wanted = self._wanted
        assert wanted is not None
        self._task = EventLoopTask(self._steps(*wanted), lambda result: self._onFinished(wanted, result), self._onFailed)

    def setOpacity(self, opacity: float) -> None:
        """Fade between the input (0) and the preview (1)."""
        self.opacity = opacity
        composite = slicer.mrmlScene.GetNodeByID(RED_COMPOSITE)
        if composite is not None and self._node is not None:
            composite.SetForegroundOpacity(opacity)

    def clear(self) -> None:
        """Take the preview away and give the view back what it showed."""
        self._wanted = None
        composite = slicer.mrmlScene.GetNodeByID(RED_COMPOSITE)
        if composite is not None and self._previous is not None:
            backgroundID, foregroundID, opacity = self._previous
            composite.SetBackgroundVolumeID(backgroundID)
            composite.SetForegroundVolumeID(foregroundID)
            composite.SetForegroundOpacity(opacity)
        self._previous = None
        if self._node is not None:
            for node in (self._node.GetDisplayNode(), self._node):
                if node is not None and node.GetScene() is not None:
                    slicer.mrmlScene.RemoveNode(node)
        self._node = None
        self._index = None

    def cleanup(self) -> None:
        """The panel goes away."""
        if self._task is not None:
            self._task.abort()
        self.clear()
        self.removeObservers()

    def _onSceneClose(self, *_args: Any) -> None:
        self.clear()

    def _onFinished(self, computed: tuple[str, int, Settings], result: dict[str, Any]) -> None:
        if self._wanted is None:
            return
        if self._wanted is not computed:
            self._start()
        else:
            self._shown(computed[1], result)

    def _onFailed(self, error: Exception) -> None:
        if self._wanted is not None:
            self._failed(error)

    def _steps(self, volumeID: str, index: int, settings: Settings) -> Steps:
        volumeNode = slicer.mrmlScene.GetNodeByID(volumeID)
        axis = sliceAxis(volumeNode)
        hu = np.array(slicesOf(volumeNode.GetImageData(), axis)[index : index + 1])
        denoised = np.empty_like(hu)
        result = yield from denoiseSlices(self._worker, hu, denoised, pixelSpacing(volumeNode), settings)
        if self._wanted is None:
            return result
        volumeNode = slicer.mrmlScene.GetNodeByID(volumeID)
        if volumeNode is None:
            raise InputError(_("The volume was deleted during the preview."))
        self._lay(volumeNode, denoised, axis, index)
        return result

    def _lay(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, denoised: np.ndarray, axis: int, index: int) -> None:
        dimensions = list(volumeNode.GetImageData().GetDimensions())
        dimensions[2 - axis] = 1
        like = vtk.vtkImageData()
        like.SetDimensions(dimensions)
        image = newImage(like, denoised.dtype)
        slicesOf(image, axis)[:] = denoised
        matrix = vtk.vtkMatrix4x4()
        volumeNode.GetIJKToRASMatrix(matrix)
        origin = [0.0, 0.0, 0.0, 1.0]
        origin[2 - axis] = index
        place = matrix.MultiplyPoint(origin)
        for row in range(3):
            matrix.SetElement(row, 3, place[row])
        if self._node is None:
            self._node = slicer.vtkMRMLScalarVolumeNode()
            self._node.SetName(_("LDCT Denoise preview"))
            self._node.SetHideFromEditors(True)
            self._node.SetSaveWithScene(False)
            slicer.mrmlScene.AddNode(self._node)
        self._node.SetIJKToRASMatrix(matrix)
        self._node.SetAndObserveTransformNodeID(volumeNode.GetTransformNodeID())
        self._node.SetAndObserveImageData(image)
        copyDisplay(volumeNode, self._node)
        display = self._node.GetDisplayNode()
        if display is not None:
            display.SetHideFromEditors(True)
            display.SetSaveWithScene(False)
        self._index = index
        composite = slicer.mrmlScene.GetNodeByID(RED_COMPOSITE)
        if composite is None:
            return
        if self._previous is None:
            self._previous = (
                composite.GetBackgroundVolumeID(),
                composite.GetForegroundVolumeID(),
                composite.GetForegroundOpacity(),
            )
        composite.SetBackgroundVolumeID(volumeNode.GetID())  # what the fade goes to, whatever the view showed
        composite.SetForegroundVolumeID(self._node.GetID())
        composite.SetForegroundOpacity(self.opacity)
