"""The output as a DICOM series derived from the input's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from . import dicomExport
from .eventLoopTask import EventLoopTask
from .messages import breakable, messageOf
from .panelSection import PanelSection, saysErrors
from .wrappedLabels import setText


class ExportSection(PanelSection):
    """Asks for a folder and writes the series into a new one within it."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self._task: EventLoopTask | None = None
        self.ui.exportButton.connect("clicked(bool)", self.onExportButton)

    @saysErrors
    def onExportButton(self, *_args: Any) -> None:
        """Write the output."""
        node = self.node
        if node is None or node.outputVolume is None:
            setText(self.ui.exportInfoLabel, _("Choose an output volume, or press Apply first."))
            return
        parent = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("LDCT Denoise: choose a folder for the new series")
        )
        if not parent:
            return
        setText(self.ui.exportInfoLabel, _("Exporting..."))
        self.ui.exportButton.enabled = False
        try:
            folder = dicomExport.newFolder(parent)
            self._task = self.logic.startExport(
                node.outputVolume, folder, lambda _series: self._onExported(folder), self._onFailed
            )
        except Exception as error:  # whatever it is, the panel must say it
            self._onFailed(error)

    def cleanup(self) -> None:
        if self._task is not None:
            self._task.abort()

    def _onExported(self, folder: Path) -> None:
        self._end(_("Exported to {folder}.").format(folder=folder))

    def _onFailed(self, error: Exception) -> None:
        self._end(messageOf(error))

    def _end(self, message: str) -> None:
        setText(self.ui.exportInfoLabel, breakable(message))
        self.ui.exportButton.enabled = True
        self.panel.setup.showLog()
