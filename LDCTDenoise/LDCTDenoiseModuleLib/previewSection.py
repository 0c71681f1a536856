"""One slice denoised at once, to try a setting."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import InputError

from .messages import messageOf
from .panelSection import PanelSection
from .preview import RED_SLICE, Preview, shownSlice

FOLLOW_MS = 150


class PreviewSection(PanelSection):
    """Shows the preview, fades it, and lets it follow the view."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self._preview: Preview | None = None
        self._followTimer = qt.QTimer()
        self._followTimer.setSingleShot(True)
        self._followTimer.setInterval(FOLLOW_MS)
        self._followTimer.connect("timeout()", self._show)
        self.ui.previewButton.connect("clicked(bool)", self.onPreviewButton)

    def update(self, node: Any) -> None:
        self.ui.previewButton.enabled = node.inputVolume is not None and not self.panel.run.running
        if self._preview is not None and node.inputVolume is not None and node.inputVolume.GetID() == self._preview.volumeID:
            self._preview.setOpacity(node.previewFade / 100)
        elif self._preview is not None:
            self.end()

    def onPreviewButton(self, *_args: Any) -> None:
        """Show the preview, or take it away."""
        if self.ui.previewButton.checked:
            self._show()
        else:
            self.end()

    def end(self) -> None:
        """Take the preview away."""
        self._followTimer.stop()
        sliceNode = slicer.mrmlScene.GetNodeByID(RED_SLICE)
        observed = (sliceNode, vtk.vtkCommand.ModifiedEvent, self._onRedSliceModified)
        if sliceNode is not None and self.panel.hasObserver(*observed):
            self.panel.removeObserver(*observed)
        if self._preview is not None:
            self._preview.cleanup()
            self._preview = None
        self.ui.previewButton.checked = False
        self.ui.previewInfoLabel.text = ""

    def sceneClosed(self) -> None:
        self.end()

    def cleanup(self) -> None:
        self._followTimer.stop()
        if self._preview is not None:
            self._preview.cleanup()
            self._preview = None

    def _show(self) -> None:
        node = self.node
        if node is None or not self.ui.previewButton.checked:
            return
        try:
            if self._preview is None:
                self._preview = self.logic.newPreview(self._onShown, self._onFailed)
                self._preview.setOpacity(node.previewFade / 100)
                self._observeRedSlice()
            self._preview.show(node.inputVolume, self.panel.settings(node))
        except Exception as error:  # whatever it is, the panel must say it
            self._onFailed(error)
            return
        self.ui.previewInfoLabel.text = _("Computing...")

    def _observeRedSlice(self) -> None:
        sliceNode = slicer.mrmlScene.GetNodeByID(RED_SLICE)
        if sliceNode is not None:
            self.panel.addObserver(sliceNode, vtk.vtkCommand.ModifiedEvent, self._onRedSliceModified)

    def _onRedSliceModified(self, sliceNode: slicer.vtkMRMLSliceNode, *_args: Any) -> None:
        node = self.node
        if node is None or not node.followSlice or node.inputVolume is None or self._preview is None:
            return
        try:
            moved = shownSlice(node.inputVolume, sliceNode) != self._preview.index
        except InputError:
            return
        if moved:
            self._followTimer.start()

    def _onShown(self, index: int, result: dict[str, Any]) -> None:
        self.ui.previewInfoLabel.text = _("Slice {index}, on {device} ({reason}).").format(
            index=index, device=result["device"], reason=result["device_reason"]
        )
        self.panel.setup.showDevice(result)

    def _onFailed(self, error: Exception) -> None:
        self.end()
        self.ui.previewInfoLabel.text = messageOf(error)
        self.panel.setup.showLog()
