"""Qt properties as attributes: ``label.text = "x"``, ``button.enabled``, ``widget.name``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6 import QtCore

# Virtual getters that Qt's layouts call back: read as attributes they would recurse, so they stay methods here.
LEFT_ALONE = {"sizeHint", "minimumSizeHint"}
_known: dict[type, dict[str, _Property]] = {}


@dataclass(frozen=True)
class _Property:
    writable: bool
    enum: bool


def properties_of(cls: type) -> dict[str, _Property]:
    """The Qt properties of a class. Read once: PySide6 may delete the meta object of a class made in Python."""
    if cls not in _known:
        meta: QtCore.QMetaObject = cls.staticMetaObject  # type: ignore[attr-defined]
        properties = [meta.property(index) for index in range(meta.propertyCount())]
        _known[cls] = {p.name(): _Property(p.isWritable(), p.isEnumType()) for p in properties if p.name() not in LEFT_ALONE}
    return _known[cls]


def property_name(cls: type, attribute: str) -> str | None:
    """The Qt property that an attribute means; PythonQt reads ``name`` as ``objectName``."""
    if attribute == "name" and "name" not in properties_of(cls):
        return "objectName"
    return attribute if attribute in properties_of(cls) else None


def read(instance: QtCore.QObject, name: str) -> Any:
    """Through Qt; enums through the getter of the same name, which gives them their Python type."""
    getter = getattr(type(instance), name, None)
    if properties_of(type(instance))[name].enum and callable(getter):
        return getter(instance)
    return QtCore.QObject.property(instance, name)


def write(instance: QtCore.QObject, name: str, value: Any) -> None:
    """Set through the setter, which checks the type; AttributeError or TypeError where PythonQt refuses too."""
    cls = type(instance)
    if not properties_of(cls)[name].writable:
        raise AttributeError(f"Property '{name}' of {cls.__name__} is not writable")
    setter = getattr(instance, "set" + name[0].upper() + name[1:], None)
    if setter is not None:
        setter(value)
    elif not QtCore.QObject.setProperty(instance, name, value):
        raise TypeError(f"Property '{name}' of {cls.__name__} does not take {value!r}")
