"""ctkMessageBox: a message box with "Don't show this message again"."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from ..pythonqt.dialogs import QMessageBox


class ctkMessageBox(QMessageBox):
    NATIVE = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        vars(self).update(_key="", _visible=False)

    def _get_key(self) -> str:
        return vars(self)["_key"]

    def setDontShowAgainSettingsKey(self, key: str) -> None:
        vars(self)["_key"] = key

    def isDontShowAgainVisible(self) -> bool:
        return vars(self)["_visible"]

    def setDontShowAgainVisible(self, visible: bool) -> None:
        vars(self)["_visible"] = visible

    dontShowAgainSettingsKey = QtCore.Property(str, _get_key, setDontShowAgainSettingsKey)
    dontShowAgainVisible = QtCore.Property(bool, isDontShowAgainVisible, setDontShowAgainVisible)

    def exec(self) -> int:
        """Not shown where the settings remember an answer, as in CTK."""
        if self._get_key() and QtCore.QSettings().contains(self._get_key()):
            remembered = int(QtCore.QSettings().value(self._get_key()))
            if remembered != int(QtWidgets.QMessageBox.InvalidRole):
                return remembered
        return super().exec()
