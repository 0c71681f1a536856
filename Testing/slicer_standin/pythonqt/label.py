"""QLabel, which Qt's layouts of Slicer's module panel may give a height from a stale cache."""

from __future__ import annotations

from PySide6 import QtWidgets

_NO_MAXIMUM = 16777215


class QLabel(QtWidgets.QLabel):
    """A label; a wrapped one that was left and entered again keeps its height until the panel is resized.

    A minimum height is respected, and ``heightForWidth`` tells what the text needs, as in the application.
    """

    NATIVE = True

    def keep_height(self) -> None:
        if QtWidgets.QLabel.wordWrap(self):
            self.setMaximumHeight(max(QtWidgets.QLabel.height(self), QtWidgets.QLabel.fontMetrics(self).height()))

    def forget_height(self) -> None:
        self.setMaximumHeight(_NO_MAXIMUM)
