"""One slice denoised at once, to try a setting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import InputError

from .messages import messageOf
from .panelSection import PanelSection, saysErrors
from .preview import Preview
from .sliceOverlay import OUT_OF_DATE
from .sliceViews import viewOf
from .wrappedLabels import setText

FOLLOW_MS = 150


class PreviewSection(PanelSection):
    """Shows the preview, fades it, and lets it follow the view and the settings."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self._preview: Preview | None = None
        self._observed: list[tuple[slicer.vtkMRMLNode, int, Callable[..., None]]] = []
        self._followTimer = qt.QTimer()
        self._followTimer.setSingleShot(True)
        self._followTimer.setInterval(FOLLOW_MS)
        self._followTimer.connect("timeout()", self._follow)
        self.ui.previewButton.connect("clicked(bool)", self.onPreviewButton)

    def update(self, node: Any) -> None:
        self.ui.previewButton.enabled = node.inputVolume is not None and not self.panel.run.running
        preview = self._preview
        if preview is None:
            return
        if node.inputVolume is None or node.inputVolume.GetID() != preview.volumeID:
            self.end()
            return
        preview.setOpacity(node.previewFade / 100)
        if self.panel.settings(node) != preview.settings:
            self._followTimer.start()

    @saysErrors
    def onPreviewButton(self, *_args: Any) -> None:
        """Show the preview, or take it away."""
        if self.ui.previewButton.checked:
            self._show()
        else:
            self.end()

    def end(self) -> None:
        """Take the preview away."""
        self._followTimer.stop()
        for observed in self._observed:
            self.panel.removeObserver(*observed)
        self._observed = []
        if self._preview is not None:
            self._preview.cleanup()
            self._preview = None
        self.ui.previewButton.checked = False
        setText(self.ui.previewInfoLabel, "")

    def sceneClosed(self) -> None:
        self.end()

    def cleanup(self) -> None:
        self._followTimer.stop()
        if self._preview is not None:
            self._preview.cleanup()
            self._preview = None

    def _show(self) -> None:
        node = self.node
        try:
            if self._preview is None:
                self.panel.lesion.leave()  # a map would lie in the same view
                self._preview = self.logic.newPreview(self._onShown, self._onFailed)
                self._preview.setOpacity(node.previewFade / 100)
                self._observe(node.inputVolume)
            self._preview.show(node.inputVolume, self.panel.settings(node))
        except Exception as error:  # whatever it is, the panel must say it
            self._onFailed(error)
            return
        setText(self.ui.previewInfoLabel, _("Computing..."))

    def _follow(self) -> None:
        """Show the slice that is shown now; where there is none, the preview stays until one is."""
        node = self.node
        if node is None or self._preview is None or node.inputVolume is None:
            return
        try:
            viewOf(node.inputVolume)
        except InputError as error:
            setText(self.ui.previewInfoLabel, messageOf(error))
            return
        self._show()

    def _observe(self, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
        views = slicer.util.getNodesByClass("vtkMRMLSliceNode") + slicer.util.getNodesByClass("vtkMRMLLayoutNode")
        self._observed = [(view, vtk.vtkCommand.ModifiedEvent, self._onViewModified) for view in views]
        self._observed += [(volume, event, self._onVolumeModified) for event in OUT_OF_DATE]
        for observed in self._observed:
            self.panel.addObserver(*observed)

    def _onVolumeModified(self, *_args: Any) -> None:
        self._followTimer.start()

    def _onViewModified(self, *_args: Any) -> None:
        node = self.node
        if node is None or not node.followSlice or node.inputVolume is None or self._preview is None:
            return
        try:
            moved = viewOf(node.inputVolume)[1] != self._preview.index
        except InputError:
            moved = True
        if moved:
            self._followTimer.start()

    def _onShown(self, index: int, result: dict[str, Any]) -> None:
        told = _("Slice {index}, on {device} ({reason}).")
        setText(self.ui.previewInfoLabel, told.format(index=index, device=result["device"], reason=result["device_reason"]))
        self.panel.setup.showDevice(result)

    def _onFailed(self, error: Exception) -> None:
        self.end()
        setText(self.ui.previewInfoLabel, messageOf(error))
        self.panel.setup.showLog()
