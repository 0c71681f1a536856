"""The base of the panel's sections."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .panel import Panel


class PanelSection:
    """Some widgets of the panel and what they do.

    Args:
        panel: the panel that they belong to.
    """

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.ui = panel.ui
        self.logic = panel.logic

    @property
    def node(self) -> Any:
        """The parameter node that the panel follows; None while the scene is closed or another module is shown."""
        return self.panel.node

    def update(self, node: Any) -> None:
        """Show what the parameter node says."""

    def sceneClosed(self) -> None:
        """Forget what belonged to the scene."""

    def cleanup(self) -> None:
        """The panel goes away."""

    def setFromCombo(self, combo: Any, name: str) -> None:
        """Set a parameter to the data of the chosen item, unless the panel itself is choosing."""
        if not self.panel.updating and self.node is not None:
            setattr(self.node, name, str(combo.itemData(combo.currentIndex)))


def saysErrors(slot: Callable[..., Any]) -> Callable[..., None]:
    """A slot of a section whose exceptions end in the panel's message line, whatever they are."""

    @functools.wraps(slot)
    def guarded(self: PanelSection, *args: Any) -> None:
        try:
            slot(self, *args)
        except Exception as error:
            self.panel.run.sayError(error)

    return guarded


def select(combo: Any, value: str, text: str | None = None, before: str | None = None) -> None:
    """Select an item by its data; where there is none, add it under ``text`` (before the item ``before``)."""
    index = combo.findData(value)
    if index < 0 and text is not None:
        index = combo.count if before is None else combo.findText(before)
        combo.insertItem(index, text, value)
    combo.setCurrentIndex(index)


def fileName(path: str) -> str:
    """Name of a file for a list."""
    return Path(path).name
