"""Gives the classes of PySide6 the manners of PythonQt's wrappers, for this whole process.

``__getattribute__`` and ``__setattr__`` are set on the PySide6 classes themselves: their other methods resolve
``connect`` before they look at overrides, and objects that Qt makes on its own (a table's header) have to behave
like all others.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from . import properties, signals

QT_LIBRARIES = (QtCore, QtGui, QtWidgets, QtUiTools)
_getters: dict[type, Callable[[QtCore.QObject, str], Any]] = {}  # PySide6's own, some of which know static overloads
_RENAMED = {"exec_": "exec"}
_ignoring_children = False


def install() -> None:
    members = [getattr(library, name) for library in QT_LIBRARIES for name in dir(library)]
    classes = [member for member in members if isinstance(member, type) and issubclass(member, QtCore.QObject)]
    _getters.update({cls: cls.__getattribute__ for cls in classes})
    for cls in classes:
        cls.__init__ = _without_keywords(cls.__init__)  # type: ignore[misc]
        cls.__getattribute__ = get_attribute  # type: ignore[method-assign,assignment]
        cls.__setattr__ = set_attribute  # type: ignore[method-assign,assignment]


def plain_attribute(instance: QtCore.QObject, name: str) -> Any:
    cls = type(instance)
    if cls not in _getters:
        _getters[cls] = next(_getters[base] for base in cls.__mro__ if base in _getters)
    return _getters[cls](instance, name)


def _without_keywords(make: Callable) -> Callable:
    def __init__(self: QtCore.QObject, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise TypeError(f"PythonQt's constructors take no keyword arguments: {', '.join(keywords)}")
        make(self, *arguments)

    return __init__


def is_native(cls: type) -> bool:
    """Whether a class is C++ in Slicer: PySide6's, or a stand-in that says ``NATIVE = True`` in its own body."""
    return cls.__module__.startswith("PySide6.") or "NATIVE" in cls.__dict__


def get_attribute(self: QtCore.QObject, name: str) -> Any:
    if name.startswith("__"):
        return plain_attribute(self, name)
    if name == "connect":
        return lambda *arguments: signals.connect(self, *arguments)
    if name == "disconnect":
        return lambda *arguments: signals.disconnect(self, *arguments)
    cls = type(self)
    known = properties.property_name(cls, name)
    if known is not None:
        return properties.read(self, known)
    if name == "className":
        return lambda: next(base.__name__ for base in cls.__mro__ if is_native(base))
    value = plain_attribute(self, _RENAMED.get(name, name))
    if isinstance(value, QtCore.SignalInstance):
        return signals.BoundSignal(self, signals.find_signal_by_name(self, name))
    return value


@contextlib.contextmanager
def child_attributes_ignored() -> Iterator[None]:
    """While PySide6 loads a .ui file it makes every child an attribute of the top widget; PythonQt does not."""
    global _ignoring_children
    _ignoring_children = True
    try:
        yield
    finally:
        _ignoring_children = False


def set_attribute(self: QtCore.QObject, name: str, value: Any) -> None:
    cls = type(self)
    known = properties.property_name(cls, name)
    if known is not None:
        properties.write(self, known, value)
    elif _ignoring_children and isinstance(value, QtCore.QObject):
        return
    elif isinstance(value, QtCore.SignalInstance):  # PySide6 keeps the signals that were asked for
        self.__dict__[name] = value
    elif is_native(cls):
        raise AttributeError(
            f"Attribute '{name}' of {cls.__name__} does not exist, and C++ objects take no new attributes in PythonQt"
        )
    else:  # a class derived in Python
        descriptor = inspect.getattr_static(cls, name, None)
        if hasattr(type(descriptor), "__set__"):
            descriptor.__set__(self, value)
        else:
            self.__dict__[name] = value
