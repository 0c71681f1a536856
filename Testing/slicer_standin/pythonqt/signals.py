"""Connecting by signature, ``button.connect("clicked(bool)", slot)``, with PythonQt's rule for surplus arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

_CONNECTIONS = "_stand_in_connections"


class UnknownSignal(TypeError):
    """Slicer would print a warning and connect nothing; a test has to hear of it."""


def find_signal(sender: QtCore.QObject, signature: str) -> str:
    """The signature as the sender's meta object writes it; UnknownSignal if there is none."""
    aliases = getattr(type(sender), "SIGNALS", {})
    written = QtCore.QMetaObject.normalizedSignature(signature)
    normalised = written if isinstance(written, str) else bytes(written).decode()
    known = aliases.get(normalised, normalised)
    if sender.metaObject().indexOfSignal(known) < 0:
        raise UnknownSignal(
            f"{type(sender).__name__} has no signal '{signature}'; it has " + ", ".join(_signals(sender, aliases))
        )
    return known


def find_signal_by_name(sender: QtCore.QObject, name: str) -> str:
    """The longest signature of the signals with a name: ``button.clicked`` is ``clicked(bool)``."""
    aliases = getattr(type(sender), "SIGNALS", {})
    found = [signature for signature in _signals(sender, aliases) if signature.split("(")[0] == name]
    return find_signal(sender, found[0])


def connect(sender: QtCore.QObject, signal: str, *target: Any) -> bool:
    """``connect(signal, callable)`` or ``connect(signal, receiver, slot signature)``."""
    known = find_signal(sender, signal)
    if len(target) == 2:
        receiver, slot = target
        if receiver.metaObject().indexOfSlot(slot) < 0:
            raise UnknownSignal(f"{type(receiver).__name__} has no slot '{slot}'")
        return bool(QtCore.QObject.connect(sender, _encoded(known), receiver, "1" + slot))
    (slot,) = target
    if not callable(slot):
        raise TypeError(f"connect('{signal}', ...) needs something to call, not {slot!r}")
    adapter = _without_surplus_arguments(slot)
    connection = QtCore.QObject.connect(sender, _encoded(known), adapter)
    _connections(sender).append((known, slot, adapter))
    return bool(connection)


def disconnect(sender: QtCore.QObject, signal: str, *target: Any) -> bool:
    """``disconnect(signal, callable)``, or all Python slots of a signal: ``disconnect(signal)``."""
    known = find_signal(sender, signal)
    if len(target) == 2:
        return bool(QtCore.QObject.disconnect(sender, _encoded(known), target[0], "1" + target[1]))
    connections = _connections(sender)
    gone = [c for c in connections if c[0] == known and (not target or c[1] == target[0])]
    for connection in gone:
        QtCore.QObject.disconnect(sender, _encoded(known), connection[2])
        connections.remove(connection)
    return bool(gone)


def listen(sender: QtCore.QObject, signature: str, slot: Callable) -> None:
    """For the stand-in's own widgets: PySide6 does not find the slot if it is a bound method of a widget."""
    QtCore.QObject.connect(sender, _encoded(signature), lambda *arguments: slot(*arguments))


def disconnect_all(sender: QtCore.QObject) -> None:
    for known, _slot, adapter in _connections(sender):
        QtCore.QObject.disconnect(sender, _encoded(known), adapter)
    _connections(sender).clear()


def emit(sender: QtCore.QObject, name: str, *arguments: Any) -> None:
    """For the stand-in's own widgets."""
    from .manners import plain_attribute

    plain_attribute(sender, name).emit(*arguments)


class BoundSignal:
    """``button.clicked`` with ``connect`` and ``disconnect``; a call emits it."""

    def __init__(self, sender: QtCore.QObject, signature: str) -> None:
        self._sender, self._signature = sender, signature

    def connect(self, *target: Any) -> bool:
        return connect(self._sender, self._signature, *target)

    def __call__(self, *arguments: Any) -> None:
        emit(self._sender, self._signature.split("(")[0], *arguments)

    def disconnect(self, *target: Any) -> bool:
        return disconnect(self._sender, self._signature, *target)


def _signals(sender: QtCore.QObject, aliases: dict[str, str]) -> list[str]:
    meta = sender.metaObject()
    methods = (meta.method(index) for index in range(meta.methodCount()))
    signals = [bytes(m.methodSignature()).decode() for m in methods if m.methodType() == QtCore.QMetaMethod.MethodType.Signal]
    return sorted({*aliases, *(s for s in signals if s not in aliases.values())}, key=lambda s: (s.split("(")[0], -len(s)))


def _encoded(signature: str) -> str:
    return "2" + signature  # what the SIGNAL() macro does


def _connections(sender: QtCore.QObject) -> list[tuple[str, Callable, Callable]]:
    return sender.__dict__.setdefault(_CONNECTIONS, [])


def _without_surplus_arguments(slot: Callable) -> Callable:
    """PythonQt cuts the arguments to what a Python function declares, defaults counted; other callables get all."""
    function = slot.__func__ if inspect.ismethod(slot) else slot
    takes = None
    if inspect.isfunction(function) and not function.__code__.co_flags & inspect.CO_VARARGS:
        takes = function.__code__.co_argcount - inspect.ismethod(slot)

    def adapter(*arguments: Any) -> None:
        slot(*(arguments if takes is None else arguments[:takes]))

    return adapter
