"""Input, output and noise map side by side."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from .compareViews import CompareViews
from .panelSection import PanelSection


class CompareSection(PanelSection):
    """Switches to the comparison of the last result and back."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self._views = CompareViews()
        self._result: dict[str, str | None] = {}
        self.ui.compareButton.connect("clicked(bool)", self.onCompareButton)

    def take(self, result: dict[str, Any]) -> None:
        """Compare the volumes of a new result from now on."""
        nodes = {name: result[name] for name in ("input", "output", "noiseMap")}
        self._result = {name: node.GetID() if node is not None else None for name, node in nodes.items()}
        self.ui.compareButton.enabled = True
        if self._views.shown:  # its views are slice views, too, and show input and noise map again
            self._views.show(nodes["input"], nodes["output"], nodes["noiseMap"])

    def onCompareButton(self, *_args: Any) -> None:
        """Show the volumes side by side, or go back to the earlier layout."""
        if not self.ui.compareButton.checked:
            self._views.hide()
            return
        nodes = {name: slicer.mrmlScene.GetNodeByID(nodeID) if nodeID else None for name, nodeID in self._result.items()}
        if nodes["input"] is None or nodes["output"] is None:
            self.panel.run.say(_("A volume of the comparison was deleted; press Apply again."))
            self.ui.compareButton.checked = False
        elif not self._views.show(nodes["input"], nodes["output"], nodes["noiseMap"]):
            self.panel.run.say(_("There is no window to compare in."))
            self.ui.compareButton.checked = False

    def sceneClosed(self) -> None:
        self._result = {}
        self._views.hide()
        self.ui.compareButton.checked = False
        self.ui.compareButton.enabled = False

    def cleanup(self) -> None:
        self._views.hide()
