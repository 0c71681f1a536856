"""The module ``qt``: all classes of QtCore, QtGui, QtWidgets and QtUiTools in one name space."""

from __future__ import annotations

import types
from typing import Any

from ..errors import NotImitated
from ..ui_file import QUiLoader
from . import dialogs
from .label import QLabel
from .manners import QT_LIBRARIES

_OURS = {cls.__name__: cls for cls in (dialogs.QMessageBox, dialogs.QFileDialog, dialogs.QDesktopServices, QLabel, QUiLoader)}
# They open a modal dialog or a network connection, or are gone from Qt 6.
_REFUSED = {"QInputDialog", "QColorDialog", "QFontDialog", "QTextCodec", "QRegExp", "QDesktopWidget", "QStringRef"}


def make_qt_module() -> types.ModuleType:
    module = types.ModuleType("qt", __doc__)
    module.__getattr__ = _member  # type: ignore[method-assign]
    return module


def _member(name: str) -> Any:
    if name in _OURS:
        return _OURS[name]
    if name.startswith("Q") and name not in _REFUSED:  # neither Signal, Slot nor other inventions of PySide6
        for library in QT_LIBRARIES:
            if hasattr(library, name):
                return getattr(library, name)
    raise NotImitated(f"module 'qt' has no attribute '{name}' on the stand-in")
