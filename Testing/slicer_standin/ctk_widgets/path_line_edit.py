"""ctkPathLineEdit: a line for a path with a browse button."""

from __future__ import annotations

import enum
from typing import Any

from PySide6 import QtCore, QtWidgets

from ..pythonqt.dialogs import QFileDialog
from ..pythonqt.signals import emit, listen


class ctkPathLineEdit(QtWidgets.QWidget):
    NATIVE = True
    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)

    class Filter(enum.IntFlag):
        Dirs = 0x001
        Files = 0x002
        Drives = 0x004
        NoSymLinks = 0x008
        Readable = 0x010
        Writable = 0x020
        Executable = 0x040
        Hidden = 0x100
        System = 0x200

    Dirs, Files, Readable, Writable, Executable = (
        Filter.Dirs, Filter.Files, Filter.Readable, Filter.Writable, Filter.Executable,
    )  # fmt: skip

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        line, button = QtWidgets.QLineEdit(self), QtWidgets.QToolButton(self)
        vars(self).update(_line=line, _filters=self.Files, _name_filters=[], _key="")
        button.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(line, 1)
        layout.addWidget(button)
        listen(line, "textChanged(QString)", lambda text: emit(self, "currentPathChanged", text))
        listen(button, "clicked()", self.browse)

    def browse(self) -> None:
        if vars(self)["_filters"] & self.Files:
            path = QFileDialog.getOpenFileName(self, "Select a file", self._get_path(), ";;".join(vars(self)["_name_filters"]))
        else:
            path = QFileDialog.getExistingDirectory(self, "Select a folder", self._get_path())
        if path:
            self.setCurrentPath(path)

    def _get_path(self) -> str:
        return QtWidgets.QLineEdit.text(vars(self)["_line"])

    def setCurrentPath(self, path: str) -> None:
        if not isinstance(path, str):
            raise TypeError(f"ctkPathLineEdit.currentPath takes a str, not {path!r}")
        vars(self)["_line"].setText(path)

    def addCurrentPathToHistory(self) -> None:
        """The stand-in keeps no history."""

    def _get_filters(self) -> int:
        return int(vars(self)["_filters"])

    def setFilters(self, filters: int) -> None:
        vars(self)["_filters"] = self.Filter(filters)

    def _get_name_filters(self) -> list[str]:
        return vars(self)["_name_filters"]

    def setNameFilters(self, filters: list[str]) -> None:
        vars(self)["_name_filters"] = list(filters)

    def _get_key(self) -> str:
        return vars(self)["_key"]

    def setSettingKey(self, key: str) -> None:
        vars(self)["_key"] = key

    currentPath = QtCore.Property(str, _get_path, setCurrentPath)
    filters = QtCore.Property(int, _get_filters, setFilters)
    nameFilters = QtCore.Property("QStringList", _get_name_filters, setNameFilters)
    settingKey = QtCore.Property(str, _get_key, setSettingKey)
