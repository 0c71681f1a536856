"""ctkDirectoryButton: a button that shows a folder and lets the user choose another."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from ..pythonqt.dialogs import QFileDialog
from ..pythonqt.signals import emit, listen


class ctkDirectoryButton(QtWidgets.QWidget):
    NATIVE = True
    directoryChanged = QtCore.Signal(str)
    directorySelected = QtCore.Signal(str)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        button = QtWidgets.QPushButton(self)
        vars(self).update(_button=button, _directory="", _caption="")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(button)
        listen(button, "clicked()", self.browse)

    def browse(self) -> None:
        path = QFileDialog.getExistingDirectory(self, vars(self)["_caption"], self._get_directory())
        if path:
            self.setDirectory(path)
            emit(self, "directorySelected", path)

    def _get_directory(self) -> str:
        return vars(self)["_directory"]

    def setDirectory(self, path: str) -> None:
        changed = path != vars(self)["_directory"]
        vars(self)["_directory"] = path
        vars(self)["_button"].setText(path)
        if changed:
            emit(self, "directoryChanged", path)

    def _get_caption(self) -> str:
        return vars(self)["_caption"]

    def setCaption(self, caption: str) -> None:
        vars(self)["_caption"] = caption

    directory = QtCore.Property(str, _get_directory, setDirectory)
    caption = QtCore.Property(str, _get_caption, setCaption)
