"""Which widget shows which type of parameter. The widget's class must be the very class, not a derived one."""

from __future__ import annotations

import enum
import pathlib
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ctk
import qt
import slicer

from .validators import Choice, Maximum, Minimum, WithinRange, first, split_annotations


@dataclass(frozen=True)
class Decimals:
    value: int


@dataclass(frozen=True)
class SingleStep:
    value: float


class Connector:
    """Reads and writes a widget; ``signal`` tells of the user's changes."""

    def __init__(self, widget: Any, signal: str, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        self.widget, self.read, self.write = widget, read, write
        self._signal = signal
        self._callback: Callable[[], None] | None = None

    def on_changed(self, callback: Callable[[], None] | None) -> None:
        if callback is None:
            self.widget.disconnect(self._signal, self._changed)
        else:
            self.widget.connect(self._signal, self._changed)
        self._callback = callback

    def _changed(self) -> None:
        if self._callback is not None:
            self._callback()


def connector_for(widget: Any, annotated: Any) -> Connector:
    """RuntimeError where Slicer has no connector for the pair of widget and type."""
    kind, annotations = split_annotations(annotated)
    cls = type(widget)
    if kind is bool and cls in (qt.QCheckBox, qt.QPushButton):
        if cls is qt.QPushButton:
            widget.checkable = True
        return _of_property(widget, "toggled(bool)", "checked")
    if kind is int and cls in (qt.QSlider, qt.QSpinBox):
        _limit(widget, annotations, -(2**31), 2**31 - 1, bounded=cls is qt.QSlider)
        return _of_property(widget, "valueChanged(int)", "value")
    if kind is float and cls in (qt.QDoubleSpinBox, ctk.ctkSliderWidget):
        _limit(widget, annotations, float("-inf"), float("inf"), bounded=cls is ctk.ctkSliderWidget)
        return _of_property(widget, "valueChanged(double)", "value")
    if kind is str and cls is qt.QLineEdit:
        return _of_property(widget, "textChanged(QString)", "text")
    if kind is str and cls is qt.QTextEdit:
        return Connector(widget, "textChanged()", widget.toPlainText, widget.setPlainText)
    if cls is qt.QComboBox and kind in (int, float, str, bool):
        choice = first(annotations, Choice)
        if choice is None:
            raise RuntimeError("A QComboBox needs the parameter's Choice annotation.")
        return _combo_box(widget, [(str(value), value) for value in choice.choices])
    if cls is qt.QComboBox and isinstance(kind, type) and issubclass(kind, enum.Enum):
        label = getattr(kind, "label", lambda member: member.name)
        return _combo_box(widget, [(label(member), member) for member in kind])
    if cls is slicer.qMRMLNodeComboBox and _node_types(kind):
        widget.nodeTypes = [node_type().GetClassName() for node_type in _node_types(kind)]
        return Connector(widget, "currentNodeChanged(vtkMRMLNode*)", widget.currentNode, widget.setCurrentNode)
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath):
        if cls is ctk.ctkPathLineEdit:
            return _of_property(widget, "currentPathChanged(QString)", "currentPath", kind, str)
        if cls is ctk.ctkDirectoryButton:
            return _of_property(widget, "directoryChanged(QString)", "directory", kind, str)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{annotated}' to widget type '{cls}'")


def _of_property(
    widget: Any, signal: str, name: str, from_widget: Callable = lambda value: value, to_widget: Callable = lambda value: value
) -> Connector:
    return Connector(
        widget, signal, lambda: from_widget(getattr(widget, name)), lambda value: setattr(widget, name, to_widget(value))
    )


def _combo_box(widget: Any, entries: list[tuple[str, Any]]) -> Connector:
    widget.clear()
    for label, _value in entries:
        widget.addItem(label)
    values = [value for _label, value in entries]

    def write(value: Any) -> None:
        if value not in values:
            raise ValueError(f"Unable to find value {value} in choices {values}")
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged(int)", lambda: values[widget.currentIndex], write)


def _limit(widget: Any, annotations: list[Any], lowest: Any, highest: Any, *, bounded: bool) -> None:
    """Range, decimals and step of the annotations; without a range a slider is impossible, a spin box unlimited."""
    within = first(annotations, WithinRange)
    minimum = within or first(annotations, Minimum)
    maximum = within or first(annotations, Maximum)
    if bounded and not (minimum and maximum):
        raise RuntimeError(f"A {type(widget).__name__} needs a parameter with a range.")
    for annotation, name in ((first(annotations, Decimals), "decimals"), (first(annotations, SingleStep), "singleStep")):
        if annotation is not None:
            setattr(widget, name, annotation.value)
    widget.setMinimum(minimum.minimum if minimum else lowest)
    widget.setMaximum(maximum.maximum if maximum else highest)


def _node_types(kind: Any) -> list[type]:
    """The node classes of a node type or a union of such (with None)."""
    members = typing.get_args(kind) if typing.get_origin(kind) is typing.Union else (kind,)
    members = [split_annotations(member)[0] for member in members]
    nodes = [member for member in members if isinstance(member, type) and issubclass(member, slicer.vtkMRMLNode)]
    return nodes if len(nodes) == len([member for member in members if member is not type(None)]) else []
