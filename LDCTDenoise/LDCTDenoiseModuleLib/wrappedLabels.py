"""Wrapped labels that are as high as their text needs."""

from __future__ import annotations

from typing import Any

import qt


class WrappedLabels(qt.QWidget):
    """Sets the height of wrapped labels whenever their width changes.

    When a user leaves the module and comes back, Qt lays them out by a height from its cache until the panel is resized.

    Args:
        labels: QLabels with word wrap.
    """

    def __init__(self, labels: list[Any]) -> None:
        qt.QWidget.__init__(self)
        for label in labels:
            label.installEventFilter(self)

    def eventFilter(self, label: Any, event: Any) -> bool:
        """Qt's own name: it is called with every event of a label."""
        if event.type() in (qt.QEvent.Resize, qt.QEvent.Show):
            fitHeight(label)
        return False


def setText(label: Any, text: str) -> None:
    """Set the text of a wrapped label and the height that it needs; without a text the label is hidden."""
    label.text = text
    label.visible = bool(text)
    fitHeight(label)


def fitHeight(label: Any) -> None:
    """Make a wrapped label as high as its text needs at its width, which is known only of a label that is shown."""
    height = label.heightForWidth(label.width) if label.visible else 0
    label.setMinimumHeight(max(0, height))  # -1 without a text
