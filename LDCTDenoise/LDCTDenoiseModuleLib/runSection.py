"""Apply, Cancel and progress, and the figures when it is done."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import Code, DenoisingCancelled, code_of

from .busyText import busyText
from .denoiseRun import NEW, DenoiseRun
from .messages import breakable, messageOf
from .outputNodes import showInSliceViews
from .panelSection import PanelSection, saysErrors
from .progressText import Progress
from .resultTable import ResultTable
from .runCallbacks import RunCallbacks
from .wrappedLabels import setText


class RunSection(PanelSection):
    """Starts a run and tells how it goes."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self._run: DenoiseRun | None = None
        self._progress = Progress()
        self._results = ResultTable()
        self._strength = 1.0
        self._stale = False
        self.ui.applyButton.connect("clicked(bool)", self.onApplyButton)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancelButton)

    @property
    def running(self) -> bool:
        return self._run is not None and self._run.running

    def update(self, node: Any) -> None:
        ui = self.ui
        ui.applyButton.enabled = node.inputVolume is not None and not self.running
        ui.cancelButton.enabled = self.running
        ui.progressBar.visible = self.running
        ui.applyButton.toolTip = _("Denoise the volume.") if node.inputVolume is not None else _("Choose an input volume first.")

    @saysErrors
    def onApplyButton(self, *_args: Any) -> None:
        """Start a run, or say why it cannot be started."""
        node = self.node
        self.panel.preview.end()
        try:
            self._run = self.logic.startRun(
                node.inputVolume,
                node.outputVolume or NEW,
                self.panel.settings(node),
                RunCallbacks(self.onProgress, self.onStarted, self.onFinished, self.onFailed),
                slices=self.panel.region.slices(node),
                noiseMap=(node.noiseMap or NEW) if node.makeNoiseMap else None,
                reference=node.referenceVolume,
                allFrames=self.panel.region.allFrames(node),
            )
        except Exception as error:  # whatever it is, the panel must say it
            self.sayError(error)
            return
        self._strength = node.strength / 100
        self._progress.start()
        self.ui.progressBar.setRange(0, 0)
        self.say(_("Preparing..."))
        self.panel.update()

    @saysErrors
    def onCancelButton(self, *_args: Any) -> None:
        """Stop the run."""
        if self._run is not None and self._run.running:
            self.say(_("Cancelling..."))
            self._run.cancel()

    def onStarted(self, message: dict[str, Any]) -> None:
        """The worker has chosen a device and begins."""
        self._showDevice(message)

    def onProgress(self, done: int, total: int) -> None:
        """Some slices are done."""
        self.ui.progressBar.setRange(0, total)
        self.ui.progressBar.setValue(done)
        self.say(self._progress.text(done, total))

    def onFinished(self, result: dict[str, Any]) -> None:
        """The result is in the scene."""
        self._end(_("Done: {name}, on {device}.").format(name=result["output"].GetName(), device=result["device"]))
        node = self.logic.getParameterNode()  # the panel's own is gone while another module is shown
        if node.outputVolume is None and node.inputVolume is result["input"] and "frames" not in result:
            node.outputVolume = result["output"]
        if node.inputVolume is result["input"] and result["noiseMap"] is not None:
            node.noiseMap = result["noiseMap"]
        self._results.add(result, self._strength)
        setText(self.ui.resultLabel, self._results.text())
        self._showDevice(result)
        showInSliceViews(result["output"])
        self.panel.compare.take(result)

    def onFailed(self, error: Exception) -> None:
        """Nothing was changed."""
        cancelled = isinstance(error, DenoisingCancelled)
        self._end(_("Cancelled; nothing was changed.") if cancelled else messageOf(error))
        self._stale = not cancelled
        if code_of(error) is Code.TORCH:
            self.ui.setupSection.collapsed = False

    def sayError(self, error: Exception) -> None:
        """Say what went wrong and what to do; it goes when something else is chosen."""
        self.say(messageOf(error))
        self._stale = True

    def choiceChanged(self) -> None:
        """An error that was said is not about what is chosen now."""
        if self._stale and not self.running:
            self.say("")

    def say(self, text: str) -> None:
        """Show a sentence in the panel's message line."""
        self._stale = False
        setText(self.ui.statusLabel, breakable(text))

    def sceneClosed(self) -> None:
        self._results.clear()
        setText(self.ui.resultLabel, "")

    def cleanup(self) -> None:
        if self._run is not None:
            self._run.abort()

    def _end(self, message: str) -> None:
        self.say(message)
        self.panel.setup.showLog()
        self.panel.update()

    def _showDevice(self, message: dict[str, Any]) -> None:
        busy = busyText(self.logic.worker.client.pid)
        self._progress.device = " ".join([self.panel.setup.showDevice(message), busy]).strip()
