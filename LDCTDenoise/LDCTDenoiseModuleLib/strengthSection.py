"""How strongly a volume is denoised."""

from __future__ import annotations

from typing import Any

from .panelSection import PanelSection, saysErrors

NATURAL, FULL = 70.0, 100.0
"""The paper's share of the denoised image, which keeps the texture of CT, and all of it; in percent."""


class StrengthSection(PanelSection):
    """Two marks beside the slider."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self.ui.naturalStrengthButton.connect("clicked(bool)", self.onNatural)
        self.ui.fullStrengthButton.connect("clicked(bool)", self.onFull)

    def update(self, node: Any) -> None:
        self.ui.naturalStrengthButton.checked = node.strength == NATURAL
        self.ui.fullStrengthButton.checked = node.strength == FULL

    @saysErrors
    def onNatural(self, *_args: Any) -> None:
        """Set the strength that keeps the texture."""
        self._set(NATURAL)

    @saysErrors
    def onFull(self, *_args: Any) -> None:
        """Set the strength that removes all noise that the model finds."""
        self._set(FULL)

    def _set(self, strength: float) -> None:
        if self.node is not None:
            self.node.strength = strength
            self.panel.update()  # a press on the mark that is set keeps it set
