"""The slice shown in a slice view, denoised and laid over the input; gone without a trace when it is switched off."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from LDCTDenoiseLib.errors import InputError

from .denoiseInWorker import denoiseSlices
from .eventLoopTask import EventLoopTask, Steps
from .outputNodes import copyDisplay
from .runOutcome import figuresOf
from .sliceOverlay import SliceOverlay
from .sliceViews import SliceView, viewOf
from .volumeArrays import checkInput, pixelSpacing, sliceAxis, slicesOf
from .windowLevelLink import WindowLevelLink

if TYPE_CHECKING:
    from .denoiseInWorker import Settings
    from .workerProcess import Worker


class Preview(VTKObservationMixin):
    """Shows one denoised slice in a slice view.

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
        self._wanted: tuple[str, int, Settings, SliceView] | None = None
        self._overlay = SliceOverlay(_("LDCT Denoise preview"))
        self._index: int | None = None
        self._link = WindowLevelLink()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneClose)

    @property
    def running(self) -> bool:
        """Whether a slice is being denoised."""
        return self._task is not None and self._task.running

    @property
    def index(self) -> int | None:
        """Index of the slice on the screen; None when there is none."""
        return self._index

    @property
    def volumeID(self) -> str | None:
        """ID of the volume whose slices are wanted; None when none are."""
        return self._wanted[0] if self._wanted else None

    @property
    def settings(self) -> Settings | None:
        """How the preview is denoised; None when none is wanted."""
        return self._wanted[2] if self._wanted else None

    def show(self, volumeNode: slicer.vtkMRMLScalarVolumeNode, settings: Settings) -> None:
        """Denoise the slice that a view on the screen shows, the Red one if it does, and lay it over.

        Raises:
            InputError: nothing can be previewed.
        """
        checkInput(volumeNode)
        view, index = viewOf(volumeNode)
        self._wanted = (volumeNode.GetID(), index, settings, view)
        # A slice is computed in one go and cannot be stopped; the latest one that is wanted comes next.
        if not self.running:
            self._start()

    def wait(self) -> None:
        """Keep the window alive until the preview is on the screen or has failed."""
        while self._task is not None and self._task.running:
            self._task.wait()

    def _start(self) -> None:
        wanted = self._wanted
        assert wanted is not None
        self._task = EventLoopTask(self._steps(*wanted), lambda result: self._onFinished(wanted, result), self._onFailed)

    def setOpacity(self, opacity: float) -> None:
        """Fade between the input (0) and the preview (1)."""
        self._overlay.setOpacity(opacity)

    def clear(self) -> None:
        """Take the preview away and give the view back what it showed."""
        self._wanted = None
        self._link.link()
        self._overlay.remove()
        self._index = None

    def cleanup(self) -> None:
        """The panel goes away."""
        if self._task is not None:
            self._task.abort()
        self.clear()
        self.removeObservers()

    def _onSceneClose(self, *_args: Any) -> None:
        self.clear()

    def _onFinished(self, computed: tuple[str, int, Settings, SliceView], result: dict[str, Any]) -> None:
        if self._wanted is None:
            return
        if self._wanted is not computed:
            self._start()
        else:
            self._shown(computed[1], result)

    def _onFailed(self, error: Exception) -> None:
        if self._wanted is not None:
            self._failed(error)

    def _steps(self, volumeID: str, index: int, settings: Settings, view: SliceView) -> Steps:
        volumeNode = slicer.mrmlScene.GetNodeByID(volumeID)
        axis = sliceAxis(volumeNode)
        hu = np.array(slicesOf(volumeNode.GetImageData(), axis)[index : index + 1])
        denoised = np.empty_like(hu)
        answer, _noiseSD = yield from denoiseSlices(self._worker, hu, denoised, pixelSpacing(volumeNode), settings)
        result = figuresOf(answer)
        if self._wanted is None:
            return result
        volumeNode = slicer.mrmlScene.GetNodeByID(volumeID)
        if volumeNode is None:
            raise InputError(_("The volume was deleted during the preview."))
        self._overlay.lay(volumeNode, denoised, index, view)
        copyDisplay(volumeNode, self._overlay.node)
        self._link.link(volumeNode, self._overlay.node)
        self._overlay.show(volumeNode)
        self._index = index
        return result
