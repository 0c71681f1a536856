"""parameterPack: a class of typed members that is one parameter of a wrapper."""

from __future__ import annotations

import typing
from typing import Any

import slicer

from . import serializers
from .validators import Default, NotNone, Validator, first, split_annotations


def parameterPack(classtype: Any = None) -> Any:
    """Class decorator; members get their defaults, keyword arguments of the constructor replace them."""
    if classtype is None:
        return parameterPack
    members = {name: (serializers.serializer_for(kind), _default(classtype, name, kind))
               for name, kind in typing.get_type_hints(classtype, include_extras=True).items()}  # fmt: skip

    def __init__(self: Any, **values: Any) -> None:
        unknown = set(values) - set(members)
        if unknown:
            raise TypeError(f"Unknown members of {classtype.__name__}: {sorted(unknown)}")
        for name, (serializer, default) in members.items():
            self.__dict__["_" + name] = values.get(name, serializer.default if default is None else default.value)

    for name, (serializer, _default_value) in members.items():
        setattr(classtype, name, _member(name, serializer))
    classtype.__init__ = __init__
    classtype.__eq__ = lambda self, other: (
        type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in members)
    )
    classtype.__hash__ = None
    classtype.allParameters = members
    return classtype


def is_parameter_pack(kind: Any) -> bool:
    return isinstance(kind, type) and "allParameters" in vars(kind) and not hasattr(kind, "connectGui")


class PackSerializer(serializers.Serializer):
    """Members are kept under ``name.member``."""

    def __init__(self, kind: type, validators: list[Validator]) -> None:
        super().__init__([NotNone(), *validators])
        self._kind = kind

    @property
    def default(self) -> Any:  # type: ignore[override]
        return self._kind()

    def _members(self) -> dict[str, tuple[serializers.Serializer, Any]]:
        return self._kind.allParameters  # type: ignore[attr-defined]

    def check(self, value: Any) -> None:
        if not isinstance(value, self._kind):
            raise TypeError(f"Value must be a {self._kind.__name__}, is {value!r}")
        super().check(value)

    def present(self, node: Any, name: str) -> bool:
        return all(member.present(node, f"{name}.{key}") for key, (member, _) in self._members().items())

    def _write(self, node: Any, name: str, value: Any) -> None:
        with slicer.util.NodeModify(node):
            for key, (member, _) in self._members().items():
                member.write(node, f"{name}.{key}", getattr(value, key))

    def read(self, node: Any, name: str) -> Any:
        pack = self._kind(**{key: member.read(node, f"{name}.{key}") for key, (member, _) in self._members().items()})
        pack.__dict__["_save"] = lambda key, value: self._members()[key][0].write(node, f"{name}.{key}", value)
        return pack

    def remove(self, node: Any, name: str) -> None:
        for key, (member, _) in self._members().items():
            member.remove(node, f"{name}.{key}")


def _member(name: str, serializer: serializers.Serializer) -> property:
    def write(self: Any, value: Any) -> None:
        serializer.check(value)
        self.__dict__["_" + name] = value
        if "_save" in self.__dict__:
            self.__dict__["_save"](name, value)

    return property(lambda self: self.__dict__["_" + name], write)


def _default(classtype: type, name: str, kind: Any) -> Default | None:
    if name in vars(classtype):
        return Default(vars(classtype)[name])
    return first(split_annotations(kind)[1], Default)
