"""How values of each type are kept in a parameter node: as text, nodes as references."""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Iterator, MutableSequence
from typing import Any

import slicer

from .validators import IsInstance, NotNone, Validator, split_annotations


class Serializer:
    """Reads and writes one type; ``default`` is its value where the class names none."""

    default: Any = None

    def __init__(self, validators: list[Validator]) -> None:
        self.validators = validators

    def check(self, value: Any) -> None:
        for validator in self.validators:
            validator.validate(value)

    def present(self, node: Any, name: str) -> bool:
        return node.HasParameter(name)

    def write(self, node: Any, name: str, value: Any) -> None:
        self.check(value)
        self._write(node, name, value)

    def _write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, self.to_text(value))

    def read(self, node: Any, name: str) -> Any:
        return self.from_text(node.GetParameter(name))

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)

    def to_text(self, value: Any) -> str:
        return str(value)

    def from_text(self, text: str) -> Any:
        return text


class _Number(Serializer):
    default = 0

    def __init__(self, kind: type, validators: list[Validator]) -> None:
        super().__init__([NotNone(), IsInstance((int, float) if kind is float else int), *validators])
        self.from_text = kind  # type: ignore[method-assign]


class _Text(Serializer):
    default = ""

    def __init__(self, validators: list[Validator]) -> None:
        super().__init__([NotNone(), IsInstance(str), *validators])


class _Bool(Serializer):
    default = False

    def __init__(self, validators: list[Validator]) -> None:
        super().__init__([NotNone(), IsInstance(bool), *validators])

    def from_text(self, text: str) -> bool:
        return text == "True"


class _Path(Serializer):
    def __init__(self, kind: type, validators: list[Validator]) -> None:
        super().__init__([NotNone(), IsInstance(kind), *validators])
        self.default = kind()
        self.from_text = kind  # type: ignore[method-assign]


class _Enum(Serializer):
    """By name, so that a changed value does not spoil saved scenes."""

    def __init__(self, kind: type[enum.Enum], validators: list[Validator]) -> None:
        super().__init__([NotNone(), IsInstance(kind), *validators])
        self._kind = kind
        self.default = next(iter(kind))

    def to_text(self, value: enum.Enum) -> str:
        return value.name

    def from_text(self, text: str) -> enum.Enum:
        return self._kind[text]


class _Node(Serializer):
    def __init__(self, kind: type, validators: list[Validator]) -> None:
        super().__init__([IsInstance(kind), *validators])

    def _write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")  # None is a value too
        node.SetNodeReferenceID(name, None if value is None else value.GetID())

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class _List(Serializer):
    def __init__(self, element: Serializer, validators: list[Validator]) -> None:
        super().__init__([NotNone(), *validators])
        self._element = element

    @property
    def default(self) -> list[Any]:  # type: ignore[override]
        return []

    def present(self, node: Any, name: str) -> bool:
        return node.HasParameter(f"{name}_len")

    def check(self, value: Any) -> None:
        super().check(value)
        for item in value:
            self._element.check(item)

    def _write(self, node: Any, name: str, value: Any) -> None:
        values = list(value)
        with slicer.util.NodeModify(node):
            old = int(node.GetParameter(f"{name}_len")) if self.present(node, name) else 0
            for index, item in enumerate(values):
                self._element.write(node, f"{name}_{index}", item)
            for index in range(len(values), old):
                self._element.remove(node, f"{name}_{index}")
            node.SetParameter(f"{name}_len", str(len(values)))

    def read(self, node: Any, name: str) -> ObservedList:
        count = int(node.GetParameter(f"{name}_len"))
        values = [self._element.read(node, f"{name}_{index}") for index in range(count)]
        return ObservedList(values, lambda changed: self.write(node, name, changed))

    def remove(self, node: Any, name: str) -> None:
        self._write(node, name, [])
        node.UnsetParameter(f"{name}_len")


class _Union(Serializer):
    """The first alternative that takes the value, its number in the parameter's name."""

    def __init__(self, alternatives: list[Serializer], validators: list[Validator]) -> None:
        super().__init__(validators)
        self._alternatives = alternatives
        self.default = None if any(isinstance(a, _None) for a in alternatives) else alternatives[0].default

    def present(self, node: Any, name: str) -> bool:
        return any(a.present(node, f"{name}_{index}") for index, a in enumerate(self._alternatives))

    def check(self, value: Any) -> None:
        super().check(value)
        self._fitting(value)

    def _fitting(self, value: Any) -> int:
        reasons = []
        for index, alternative in enumerate(self._alternatives):
            try:
                alternative.check(value)
            except (TypeError, ValueError) as error:
                reasons.append(error)
            else:
                return index
        raise reasons[0]

    def _write(self, node: Any, name: str, value: Any) -> None:
        chosen = self._fitting(value)
        with slicer.util.NodeModify(node):
            self._alternatives[chosen].write(node, f"{name}_{chosen}", value)
            for index, alternative in enumerate(self._alternatives):
                if index != chosen and alternative.present(node, f"{name}_{index}"):
                    alternative.remove(node, f"{name}_{index}")

    def read(self, node: Any, name: str) -> Any:
        for index, alternative in enumerate(self._alternatives):
            if alternative.present(node, f"{name}_{index}"):
                return alternative.read(node, f"{name}_{index}")
        return None

    def remove(self, node: Any, name: str) -> None:
        for index, alternative in enumerate(self._alternatives):
            if alternative.present(node, f"{name}_{index}"):
                alternative.remove(node, f"{name}_{index}")


class _None(Serializer):
    def check(self, value: Any) -> None:
        if value is not None:
            raise ValueError("Value must be None")

    def from_text(self, text: str) -> None:
        return None


class ObservedList(MutableSequence):
    """A list that writes itself into the parameter node when it changes."""

    def __init__(self, values: list[Any], save: Any) -> None:
        self._values, self._save = values, save

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __getitem__(self, index: Any) -> Any:
        return self._values[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._change(lambda values: values.__setitem__(index, value))

    def __delitem__(self, index: Any) -> None:
        self._change(lambda values: values.__delitem__(index))

    def insert(self, index: int, value: Any) -> None:
        self._change(lambda values: values.insert(index, value))

    def _change(self, change: Any) -> None:
        changed = list(self._values)
        change(changed)
        self._save(changed)
        self._values = changed

    def __eq__(self, other: object) -> bool:
        return self._values == (other._values if isinstance(other, ObservedList) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ObservedList({self._values})"


def serializer_for(annotated: Any) -> Serializer:
    """TypeError for a type that Slicer's wrapper cannot keep either (``X | None`` among them: write Optional[X])."""
    from .packs import PackSerializer, is_parameter_pack

    kind, annotations = split_annotations(annotated)
    validators = [annotation for annotation in annotations if isinstance(annotation, Validator)]
    origin = typing.get_origin(kind)
    if kind in (int, float):
        return _Number(kind, validators)
    if kind is str:
        return _Text(validators)
    if kind is bool:
        return _Bool(validators)
    if kind is type(None):
        return _None([])
    if origin is list:
        return _List(serializer_for(typing.get_args(kind)[0]), validators)
    if origin is typing.Union:
        return _Union([serializer_for(alternative) for alternative in typing.get_args(kind)], validators)
    if is_parameter_pack(kind):
        return PackSerializer(kind, validators)
    if isinstance(kind, type) and not isinstance(kind, types.GenericAlias):
        if issubclass(kind, slicer.vtkMRMLNode):
            return _Node(kind, validators)
        if issubclass(kind, enum.Enum):
            return _Enum(kind, validators)
        if issubclass(kind, pathlib.PurePath):
            return _Path(kind, validators)
    raise TypeError(f"Unable to create serializer for type: {kind}")
