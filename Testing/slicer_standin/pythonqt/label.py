"""QLabel, which Qt's layouts of Slicer's module panel may give a height from a stale cache."""

from __future__ import annotations

from typing import Any

from PySide6 import QtWidgets


class QLabel(QtWidgets.QLabel):
    """A label; a wrapped one that was left and entered again keeps its height until the panel is resized.

    Qt's layouts see the kept height; whoever asks the label itself gets the true one.
    """

    NATIVE = True

    def keep_height(self) -> None:
        if QtWidgets.QLabel.wordWrap(self):
            vars(self)["_kept"] = QtWidgets.QLabel.heightForWidth(self, QtWidgets.QLabel.width(self))

    def forget_height(self) -> None:
        vars(self)["_kept"] = None

    def heightForWidth(self, width: int) -> int:
        kept = vars(self).get("_kept")
        return QtWidgets.QLabel.heightForWidth(self, width) if kept is None else kept

    def __getattribute__(self, name: str) -> Any:
        if name == "heightForWidth":
            return lambda width: QtWidgets.QLabel.heightForWidth(self, width)
        return super().__getattribute__(name)
