"""Modal dialogs that a test answers beforehand instead of a person."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from ..errors import NotImitated
from ..messages import messages

_Box = QtWidgets.QMessageBox
_KINDS = {_Box.Critical: "error", _Box.Warning: "warning", _Box.Question: "question"}
_AFFIRMATIVE = (_Box.Ok, _Box.Yes, _Box.Retry, _Box.Save, _Box.Open, _Box.YesToAll, _Box.Apply)


class QMessageBox(QtWidgets.QMessageBox):
    """A message box whose ``exec_`` is recorded and answered at once; only a choice needs an answer."""

    NATIVE = True

    def exec(self) -> int:
        kind = _KINDS.get(_Box.icon(self), "info")
        messages.show(kind, _Box.text(self), _Box.windowTitle(self).strip(), _Box.detailedText(self))
        if len(_Box.buttons(self)) < 2:
            return int(_Box.standardButtons(self) or _Box.Ok)
        return int(choose(messages.take_answer(), _Box.standardButtons(self)))

    @staticmethod
    def question(*arguments: Any) -> QtWidgets.QMessageBox.StandardButton:
        return _static("question", _Box.Yes | _Box.No, *arguments)

    @staticmethod
    def information(*arguments: Any) -> QtWidgets.QMessageBox.StandardButton:
        return _static("info", _Box.Ok, *arguments)

    @staticmethod
    def warning(*arguments: Any) -> QtWidgets.QMessageBox.StandardButton:
        return _static("warning", _Box.Ok, *arguments)

    @staticmethod
    def critical(*arguments: Any) -> QtWidgets.QMessageBox.StandardButton:
        return _static("error", _Box.Ok, *arguments)


def choose(answer: Any, buttons: QtWidgets.QMessageBox.StandardButton) -> QtWidgets.QMessageBox.StandardButton:
    """The button that an answer means: itself, or the affirmative one for True, the other one for False."""
    shown = [button for button in _Box.StandardButton if buttons & button and bin(button.value).count("1") == 1]
    if isinstance(answer, bool):
        fitting = [button for button in shown if (button in _AFFIRMATIVE) == answer]
    else:
        fitting = [button for button in shown if button == answer]
    if len(fitting) != 1:
        raise ValueError(f"Answer {answer!r} does not fit the buttons {shown}")
    return fitting[0]


def _static(kind: str, standard: Any, parent: Any, title: str, text: str, buttons: Any = None, *_default: Any) -> Any:
    messages.show(kind, text, title)
    buttons = buttons or standard
    return choose(messages.take_answer(), buttons) if bin(buttons.value).count("1") > 1 else buttons


class QFileDialog(QtWidgets.QFileDialog):
    """The static functions answer with a path (str, or a list for several) as PythonQt does: without the filter."""

    NATIVE = True

    def exec(self) -> int:
        raise NotImitated("QFileDialog.exec_ is not imitated: use the static functions")

    @staticmethod
    def getOpenFileName(*arguments: Any) -> str:
        return _path(*arguments)

    @staticmethod
    def getSaveFileName(*arguments: Any) -> str:
        return _path(*arguments)

    @staticmethod
    def getExistingDirectory(*arguments: Any) -> str:
        return _path(*arguments)

    @staticmethod
    def getOpenFileNames(*arguments: Any) -> list[str]:
        _record(*arguments)
        return [str(path) for path in messages.take_answer()]


def _record(parent: Any = None, caption: str = "", directory: str = "", filter_: str = "", *_options: Any) -> None:
    for text in (caption, directory, filter_):
        if not isinstance(text, str):
            raise TypeError(f"QFileDialog takes str, not {text!r}")
    messages.show("file", caption, details=filter_)


def _path(*arguments: Any) -> str:
    _record(*arguments)
    return str(messages.take_answer())


class QDesktopServices(QtGui.QDesktopServices):
    """Opens nothing; the addresses are recorded."""

    @staticmethod
    def openUrl(url: QtCore.QUrl) -> bool:
        messages.opened_urls.append(url.toString())
        return True
