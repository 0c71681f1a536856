"""The class decorator: typed attributes of a parameter node, and their binding to a panel."""

from __future__ import annotations

import logging
import typing
import weakref
from typing import Any

import slicer
import vtk

from .connectors import Connector, connector_for
from .packs import is_parameter_pack
from .serializers import Serializer, serializer_for
from .validators import Default, Validator, first, split_annotations

SlicerParameterNamePropertyName = "SlicerParameterName"
_RESERVED = (
    "allParameters", "default", "isCached", "dataType", "getValue", "setValue", "connectGui", "connectParametersToGui",
    "disconnectGui", "StartModify", "EndModify", "AddObserver", "RemoveObserver", "Modified",
)  # fmt: skip


class _Parameter:
    def __init__(self, name: str, annotated: Any, default: Default | None) -> None:
        self.name, self.annotated = name, annotated
        self.serializer: Serializer = serializer_for(annotated)
        self.cached = not is_parameter_pack(split_annotations(annotated)[0])
        self.default = default or Default(self.serializer.default)


def parameterNodeWrapper(classtype: Any = None) -> Any:
    if classtype is None:
        return parameterNodeWrapper
    parameters: dict[str, _Parameter] = {}
    for name, annotated in typing.get_type_hints(classtype, include_extras=True).items():
        if name in _RESERVED:
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        annotations = split_annotations(annotated)[1]
        default = Default(vars(classtype)[name]) if name in vars(classtype) else first(annotations, Default)
        unused = [a for a in annotations if not isinstance(a, Validator | Default) and type(a).__name__ not in _GUI_ANNOTATIONS]
        if unused:
            logging.warning("Unused annotations: %s", unused)
        parameters[name] = _Parameter(name, annotated, default)
        setattr(classtype, name, _attribute(parameters[name]))
    for name in _RESERVED[1:]:
        if name in vars(classtype):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(classtype, name, _METHODS[name])
    classtype.allParameters = parameters
    classtype.__init__ = _init
    return classtype


def isParameterNodeWrapper(class_or_object: Any) -> bool:
    return hasattr(class_or_object, "allParameters") and hasattr(class_or_object, "connectGui")


def findChildWidgetForParameter(widget: Any, parameter: str) -> Any:
    import qt

    children = widget.findChildren(qt.QWidget)
    return next((child for child in children if child.property(SlicerParameterNamePropertyName) == parameter), None)


_GUI_ANNOTATIONS = ("Decimals", "SingleStep")


def _attribute(parameter: _Parameter) -> property:
    return property(lambda self: _read(self, parameter), lambda self, value: _write(self, parameter, value))


def _read(self: Any, parameter: _Parameter) -> Any:
    """Slicer keeps what it read until the node is modified; packs are read anew."""
    if parameter.cached:
        return self._cache[parameter.name]
    return _read_node(self, parameter)


def _read_node(self: Any, parameter: _Parameter) -> Any:
    if not parameter.serializer.present(self.parameterNode, parameter.name):
        parameter.serializer.write(self.parameterNode, parameter.name, parameter.default.value)
    return parameter.serializer.read(self.parameterNode, parameter.name)


def _write(self: Any, parameter: _Parameter, value: Any) -> None:
    parameter.serializer.check(value)
    with slicer.util.NodeModify(self.parameterNode):
        parameter.serializer.write(self.parameterNode, parameter.name, value)
        self._cache[parameter.name] = parameter.serializer.read(self.parameterNode, parameter.name)


def _init(self: Any, parameterNode: Any) -> None:
    self.parameterNode = parameterNode
    self._connectors: dict[int, dict[str, Connector]] = {}
    self._next_tag = 0
    self._updating_gui = False
    self._cache = {parameter.name: _read_node(self, parameter) for parameter in self.allParameters.values()}
    myself = weakref.ref(self)
    tag = parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda _caller, _event: _node_modified(myself()))
    weakref.finalize(self, parameterNode.RemoveObserver, tag)


def _node_modified(self: Any) -> None:
    if self is not None:
        for parameter in self.allParameters.values():
            self._cache[parameter.name] = _read_node(self, parameter)


def _check_name(self: Any, name: str) -> tuple[_Parameter, list[str]]:
    top, *rest = name.split(".")
    if top not in self.allParameters:
        raise ValueError(f"Cannot find a param with the given name: {top}. There are {sorted(self.allParameters)}")
    kind = self.allParameters[top].annotated
    for member in rest:
        members = typing.get_type_hints(split_annotations(kind)[0], include_extras=True)
        if not is_parameter_pack(split_annotations(kind)[0]) or member not in members:
            raise ValueError(f"Cannot find a param with the given name: {name}")
        kind = members[member]
    return self.allParameters[top], rest


def _get_value(self: Any, name: str) -> Any:
    parameter, members = _check_name(self, name)
    value = _read(self, parameter)
    for member in members:
        value = getattr(value, member)
    return value


def _set_value(self: Any, name: str, value: Any) -> None:
    parameter, members = _check_name(self, name)
    if not members:
        _write(self, parameter, value)
        return
    owner = _read(self, parameter)
    for member in members[:-1]:
        owner = getattr(owner, member)
    setattr(owner, members[-1], value)


def _data_type(self: Any, name: str) -> Any:
    parameter, members = _check_name(self, name)
    kind = parameter.annotated
    for member in members:
        kind = typing.get_type_hints(split_annotations(kind)[0], include_extras=True)[member]
    return kind


def _connect_gui(self: Any, gui: Any) -> int:
    """Every widget with the dynamic property SlicerParameterName, below a widget or in a childWidgetVariables object."""
    import qt

    widgets = gui.findChildren(qt.QWidget) if hasattr(gui, "isWidgetType") else vars(gui).values()
    named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets}
    return _connect_parameters(self, {name: widget for name, widget in named.items() if name})


def _connect_parameters(self: Any, mapping: dict[str, Any]) -> int:
    for name in mapping:
        _check_name(self, name)
    connectors = {name: connector_for(widget, _data_type(self, name)) for name, widget in mapping.items()}
    tag = self._next_tag
    self._next_tag += 1
    self._connectors[tag] = connectors
    for name, connector in connectors.items():
        connector.write(_get_value(self, name))
        connector.on_changed(lambda name=name, connector=connector: _from_gui(self, name, connector))
    self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda _caller, _event: _update_gui(self))
    return tag


def _from_gui(self: Any, name: str, connector: Connector) -> None:
    if not self._updating_gui:
        with slicer.util.NodeModify(self.parameterNode):
            _set_value(self, name, connector.read())


def _update_gui(self: Any) -> None:
    if self._updating_gui:
        return
    self._updating_gui = True
    try:
        with slicer.util.NodeModify(self.parameterNode):
            for connectors in list(self._connectors.values()):
                for name, connector in connectors.items():
                    connector.write(_get_value(self, name))
    finally:
        self._updating_gui = False


def _disconnect_gui(self: Any, tag: int) -> None:
    for connector in self._connectors.pop(tag, {}).values():
        connector.on_changed(None)


_METHODS: dict[str, Any] = {
    "default": lambda self, name: _check_name(self, name)[0].default,
    "isCached": lambda self, name: _check_name(self, name)[0].cached,
    "dataType": _data_type,
    "getValue": _get_value,
    "setValue": _set_value,
    "connectGui": _connect_gui,
    "connectParametersToGui": _connect_parameters,
    "disconnectGui": _disconnect_gui,
    "StartModify": lambda self: self.parameterNode.StartModify(),
    "EndModify": lambda self, was_modifying: self.parameterNode.EndModify(was_modifying),
    "AddObserver": lambda self, event, callback, priority=0.0: self.parameterNode.AddObserver(event, callback, priority),
    "RemoveObserver": lambda self, tag: self.parameterNode.RemoveObserver(tag),
    "Modified": lambda self: self.parameterNode.Modified(),
}
