"""Input, output and noise map side by side."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from .compareViews import CompareViews
from .outputNodes import SOURCE_REFERENCE
from .panelSection import PanelSection, saysErrors
from .windowLevelLink import WindowLevelLink


class CompareSection(PanelSection):
    """Switches to the comparison of a result with its input and back, and gives both one window and level."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self._views = CompareViews()
        self._link = WindowLevelLink()
        self._lastID: str | None = None
        self._layoutNode: slicer.vtkMRMLLayoutNode | None = None
        self.ui.compareButton.connect("clicked(bool)", self.onCompareButton)

    def update(self, node: Any) -> None:
        self._observeLayout()
        volumes = self._volumes()
        self._link.link(*(volumes[:2] if volumes is not None else ()))
        self._showState()

    def take(self, result: dict[str, Any]) -> None:
        """Compare the volumes of a new result from now on."""
        self._lastID = result["output"].GetID()
        self.panel.update()
        if self._views.shown:  # its views are slice views, too, and show input and noise map again
            self._views.show(result["input"], result["output"], result["noiseMap"])

    @saysErrors
    def onCompareButton(self, *_args: Any) -> None:
        """Show the volumes side by side, or go back to the earlier layout."""
        volumes = self._volumes()
        if self._views.shown:
            self._views.hide()
        elif volumes is None:
            self.panel.run.say(_("There is nothing to compare; press Apply first."))
        elif not self._views.show(*volumes):
            self.panel.run.say(_("There is no window to compare in."))
        self._showState()

    def sceneClosed(self) -> None:
        self._lastID = None
        self._link.link()
        self._views.hide()
        self._showState()

    def cleanup(self) -> None:
        self._link.link()
        self._views.hide()

    def _volumes(self) -> tuple[Any, Any, Any] | None:
        """Input, output and noise map (or None) of the chosen output, else of the last result; None where there is none."""
        node = self.node
        if node is None:
            return None
        output = node.outputVolume or slicer.mrmlScene.GetNodeByID(self._lastID or "")
        source = output.GetNodeReference(SOURCE_REFERENCE) if output is not None else None
        if source is None or source.GetImageData() is None or output.GetImageData() is None:
            return None
        noiseMap = node.noiseMap if node.makeNoiseMap else None
        if noiseMap is not None and (noiseMap.GetNodeReference(SOURCE_REFERENCE) is not source or not noiseMap.GetImageData()):
            noiseMap = None
        return source, output, noiseMap

    def _observeLayout(self) -> None:
        manager = slicer.app.layoutManager()
        layoutNode = manager.layoutLogic().GetLayoutNode() if manager is not None else None
        if layoutNode is self._layoutNode:
            return
        if self._layoutNode is not None:
            self.panel.removeObserver(self._layoutNode, vtk.vtkCommand.ModifiedEvent, self._showState)
        if layoutNode is not None:
            self.panel.addObserver(layoutNode, vtk.vtkCommand.ModifiedEvent, self._showState)
        self._layoutNode = layoutNode

    def _showState(self, *_args: Any) -> None:
        """The button is down while the comparison is on the screen, whoever has changed the layout."""
        self.ui.compareButton.checked = self._views.shown
        self.ui.compareButton.enabled = self._views.shown or self._volumes() is not None
