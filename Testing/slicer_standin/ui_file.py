"""QUiLoader for panels with ctk and qMRML widgets, stricter than Qt's: what Qt would pass over in silence raises.

Checked: every class, every property (dynamic ones are marked ``stdset="0"``), every connection. The scene goes only to
the widgets whose ``setMRMLScene(vtkMRMLScene*)`` is connected in the file, so that a forgotten connection shows.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from .errors import UiFileError
from .pythonqt import manners, properties, signals
from .pythonqt.label import QLabel

_SCENE_SLOT = "setMRMLScene(vtkMRMLScene*)"
_DESIGNER_ONLY = {"QLabel": {"buddy"}, "Line": {"orientation", "frameShape", "frameShadow"}}


def stand_in_widgets() -> dict[str, type]:
    from .ctk_widgets import CTK_WIDGETS
    from .mrml_widgets import MRML_WIDGETS

    return {**CTK_WIDGETS, **MRML_WIDGETS, "QLabel": QLabel}


class QUiLoader(QtUiTools.QUiLoader):
    NATIVE = True

    def load(self, device: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        content = bytes(device.readAll().data())
        tree = ElementTree.fromstring(content)
        _check_widgets(tree)
        vars(self)["_made"] = []
        buffer = QtCore.QBuffer()
        buffer.setData(_without_scene_connections(tree))
        buffer.open(QtCore.QIODevice.OpenModeFlag.ReadOnly)
        with manners.child_attributes_ignored():
            widget = super().load(buffer, parent)
        if widget is None:
            raise UiFileError(self.errorString())
        vars(widget)["_ui_children"] = vars(self)["_made"]  # else Python forgets what the widgets are
        _connect(tree, widget)
        return widget

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> QtWidgets.QWidget:
        ours = stand_in_widgets().get(class_name)
        widget = ours(parent) if ours else super().createWidget(class_name, parent, name)
        if widget is None:
            raise UiFileError(f"The .ui file's widget '{name}' has an unknown class: {class_name}")
        widget.setObjectName(name)
        vars(self).setdefault("_made", []).append(widget)
        return widget


def _class_of(name: str) -> type | None:
    return stand_in_widgets().get(name) or getattr(QtWidgets, "QFrame" if name == "Line" else name, None)


def _check_widgets(tree: ElementTree.Element) -> None:
    names = [widget.get("name") for widget in tree.iter("widget")]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UiFileError(f"Names used twice in the .ui file: {sorted(twice)}")
    for widget in tree.iter("widget"):
        class_name, name = widget.get("class", ""), widget.get("name")
        cls = _class_of(class_name)
        if cls is None:
            raise UiFileError(f"The .ui file's widget '{name}' has an unknown class: {class_name}")
        known = {*properties.properties_of(cls), *properties.LEFT_ALONE, *_DESIGNER_ONLY.get(class_name, ())}
        for element in widget.findall("property"):
            if element.get("stdset") != "0" and element.get("name") not in known:
                raise UiFileError(f"The .ui file sets an unknown property of '{name}' ({class_name}): {element.get('name')}")


def _connections(tree: ElementTree.Element) -> list[dict[str, str]]:
    found = tree.iterfind("connections/connection")
    return [
        {part: (connection.findtext(part) or "") for part in ("sender", "signal", "receiver", "slot")} for connection in found
    ]


def _without_scene_connections(tree: ElementTree.Element) -> bytes:
    """Qt knows nothing of the stand-in's Python signals; all connections are made in ``_connect``."""
    copy = ElementTree.fromstring(ElementTree.tostring(tree))
    for connections in copy.findall("connections"):
        copy.remove(connections)
    return ElementTree.tostring(copy)


def _connect(tree: ElementTree.Element, top: QtWidgets.QWidget) -> None:
    for connection in _connections(tree):
        sender, receiver = (_find(top, connection[role]) for role in ("sender", "receiver"))
        slot = connection["slot"]
        try:
            if slot == _SCENE_SLOT:
                signals.connect(sender, connection["signal"], receiver.setMRMLScene)
            elif type(receiver).__name__ in stand_in_widgets() and receiver.metaObject().indexOfSlot(slot) < 0:
                signals.connect(sender, connection["signal"], getattr(receiver, slot.split("(")[0]))
            else:
                signals.connect(sender, connection["signal"], receiver, slot)
        except (AttributeError, signals.UnknownSignal) as error:
            raise UiFileError(f"The .ui file's connection {connection} is not possible: {error}") from error


def _find(top: QtWidgets.QWidget, name: str) -> QtCore.QObject:
    found = top if QtCore.QObject.objectName(top) == name else top.findChild(QtCore.QObject, name)
    if found is None:
        raise UiFileError(f"The .ui file connects '{name}', which does not exist")
    return found
