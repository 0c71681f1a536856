"""Qt properties as attributes: ``label.text = "x"``, ``button.enabled``, ``widget.name``."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore

# Virtual getters that Qt's layouts call back: read as attributes they would recurse, so they stay methods here.
LEFT_ALONE = {"sizeHint", "minimumSizeHint"}
_names: dict[type, dict[str, bool]] = {}


def properties_of(cls: type) -> dict[str, bool]:
    """Name of every Qt property of a class, and whether it can be written."""
    if cls not in _names:
        meta: QtCore.QMetaObject = cls.staticMetaObject  # type: ignore[attr-defined]
        properties = (meta.property(index) for index in range(meta.propertyCount()))
        _names[cls] = {p.name(): p.isWritable() for p in properties if p.name() not in LEFT_ALONE}
    return _names[cls]


def property_name(cls: type, attribute: str) -> str | None:
    """The Qt property that an attribute means; PythonQt reads ``name`` as ``objectName``."""
    if attribute == "name" and "name" not in properties_of(cls):
        return "objectName"
    return attribute if attribute in properties_of(cls) else None


def read(instance: QtCore.QObject, name: str) -> Any:
    """Through the getter of the same name, which knows enums; else through Qt."""
    getter = getattr(type(instance), name, None)
    if getter is None or isinstance(getter, QtCore.Property):
        return QtCore.QObject.property(instance, name)
    return getter(instance)


def write(instance: QtCore.QObject, name: str, value: Any) -> None:
    """Set through the setter, which checks the type; AttributeError or TypeError where PythonQt refuses too."""
    cls = type(instance)
    if not properties_of(cls)[name]:
        raise AttributeError(f"Property '{name}' of {cls.__name__} is not writable")
    setter = getattr(cls, "set" + name[0].upper() + name[1:], None)
    if setter is not None:
        setter(instance, value)
        return
    meta = cls.staticMetaObject  # type: ignore[attr-defined]
    if not meta.property(meta.indexOfProperty(name)).write(instance, value):
        raise TypeError(f"Property '{name}' of {cls.__name__} does not take {value!r}")
