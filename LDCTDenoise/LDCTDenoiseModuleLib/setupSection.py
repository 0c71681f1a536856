"""Where it is computed, with which PyTorch, and what the worker reports."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from .eventLoopTask import EventLoopTask
from .messages import breakable, messageOf, torchAdvice
from .panelSection import PanelSection, saysErrors, select
from .wrappedLabels import setText


class SetupSection(PanelSection):
    """Device, precision, PyTorch and the worker's log."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self._reporting: EventLoopTask | None = None
        ui = self.ui
        ui.deviceCombo.addItem(_("Auto"), "auto")
        ui.deviceCombo.addItem("cpu", "cpu")
        for name in ("auto", "float32", "float16", "bfloat16"):
            ui.precisionCombo.addItem(_("Auto") if name == "auto" else name, name)
        ui.deviceCombo.connect("currentIndexChanged(int)", self._onDeviceChosen)
        ui.precisionCombo.connect("currentIndexChanged(int)", self._onPrecisionChosen)
        ui.installButton.connect("clicked(bool)", self.onInstallButton)
        ui.checkButton.connect("clicked(bool)", self.report)
        ui.setupSection.connect("contentsCollapsed(bool)", self._onToggled)

    def update(self, node: Any) -> None:
        select(self.ui.deviceCombo, node.device, node.device)
        select(self.ui.precisionCombo, node.precision)

    @saysErrors
    def report(self, *_args: Any) -> None:
        """Ask the worker what there is; it does not block."""
        if self._reporting is not None and self._reporting.running:
            return
        setText(self.ui.torchInfoLabel, _("Asking..."))
        self._reporting = self.logic.startDeviceReport(self._onReport, self._onReportFailed)

    @saysErrors
    def onInstallButton(self, *_args: Any) -> None:
        """Install PyTorch through the PyTorch extension."""
        setText(self.ui.torchInfoLabel, _("Installing PyTorch; this takes some minutes..."))
        slicer.app.processEvents()
        try:
            installed = self.logic.installPyTorch()
        except Exception as error:  # whatever it is, the panel must say it
            setText(self.ui.torchInfoLabel, messageOf(error))
            return
        if installed:
            self.report()
        else:
            setText(self.ui.torchInfoLabel, _("PyTorch was not installed."))

    def showDevice(self, message: dict[str, Any]) -> str:
        """Say where the worker computes; returns the sentence."""
        told: str = _("Computed on {device}, {reason}.").format(device=message["device"], reason=message["device_reason"])
        setText(self.ui.deviceInfoLabel, told)
        return told

    def showLog(self) -> None:
        """Show the worker's log, its end first."""
        self.ui.logText.setPlainText("\n".join(self.logic.worker.client.log))
        bar = self.ui.logText.verticalScrollBar()
        bar.setValue(bar.maximum)

    def cleanup(self) -> None:
        if self._reporting is not None:
            self._reporting.abort()

    @saysErrors
    def _onToggled(self, *_args: Any) -> None:
        if not self.ui.setupSection.collapsed and not self.ui.torchInfoLabel.text:
            self.report()

    def _onDeviceChosen(self, *_args: Any) -> None:
        self.setFromCombo(self.ui.deviceCombo, "device")

    def _onPrecisionChosen(self, *_args: Any) -> None:
        self.setFromCombo(self.ui.precisionCombo, "precision")

    def _onReport(self, report: dict[str, Any]) -> None:
        ui = self.ui
        problem = report["torch_problem"]
        cuda = _("no, {reason}").format(reason=report["why_no_cuda"]) if report["why_no_cuda"] else _("yes")
        told = _("{version}; CUDA: {cuda}.").format(version=report["torch"], cuda=cuda)
        setText(ui.torchInfoLabel, breakable(torchAdvice(problem)) if problem else told)
        with self.panel.choosing():
            ui.deviceCombo.clear()
            ui.deviceCombo.addItem(_("Auto"), "auto")
            for device in report["devices"] or [{"label": "cpu", "name": "cpu"}]:
                ui.deviceCombo.addItem(device["label"], device["name"])
        self.panel.update()
        self.showLog()

    def _onReportFailed(self, error: Exception) -> None:
        setText(self.ui.torchInfoLabel, messageOf(error))
        self.showLog()
