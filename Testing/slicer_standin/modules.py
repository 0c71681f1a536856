"""``slicer.modules``: core modules with their real logics, and the scripted modules that tests load."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .errors import ForgottenScene, NotImitated
from .mrml_widgets import MRML_WIDGETS, qMRMLWidget
from .mrml_widgets.node_combo_box import stop_observing
from .pythonqt.label import QLabel

_PARENT_TEXTS = {
    "title": str, "categories": list, "dependencies": list, "contributors": list,
    "helpText": str, "acknowledgementText": str, "icon": QtGui.QIcon, "hidden": bool, "index": int, "associatedNodeTypes": list,
    "widgetRepresentationCreationEnabled": bool,
}  # fmt: skip


class CoreModule:
    """A module of Slicer itself, reduced to its name and its real logic."""

    def __init__(self, name: str, logic: Callable[[], Any]) -> None:
        self.name = name
        self.logic = logic


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The panel's outer widget, which owns the Python widget."""

    NATIVE = True

    def __init__(self, entry: qSlicerScriptedLoadableModule) -> None:
        super().__init__()
        vars(self).update(_entry=entry, _python=None, _entered=False)
        QtWidgets.QVBoxLayout(self)

    def self(self) -> Any:
        return vars(self)["_python"]

    def setup_python_widget(self) -> None:
        """The stand-in's own: make the Python widget and set it up, as the application does on first use."""
        entry = vars(self)["_entry"]
        self.setMRMLScene(slicer.mrmlScene)
        widget = getattr(entry.python_module, entry.name + "Widget")(self)
        vars(self)["_python"] = widget
        setattr(slicer.modules, entry.name + "Widget", widget)
        widget.setup()
        check_scenes(self)

    def reload(self) -> None:
        entered, entry = vars(self)["_entered"], vars(self)["_entry"]
        vars(entry)["python_module"] = sys.modules[entry.name]
        self.setup_python_widget()
        if entered:
            self.enter()

    def enter(self) -> None:
        vars(self)["_entered"] = True
        _call_if_there(self.self(), "enter")

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        if event.oldSize().width() != event.size().width():
            for label in self.findChildren(QLabel):
                label.forget_height()
        super().resizeEvent(event)

    def exit(self) -> None:
        """The panel's layout item is taken out; put back, it has the heights of wrapped labels in a stale cache."""
        for label in self.findChildren(QLabel):
            label.keep_height()
        vars(self)["_entered"] = False
        _call_if_there(self.self(), "exit")

    isEntered = QtCore.Property(bool, lambda self: vars(self)["_entered"])


class qSlicerScriptedLoadableModule:
    """What a scripted module's class gets as parent, and what ``slicer.modules.<name>`` gives."""

    def __init__(self, path: str) -> None:
        vars(self).update(path=path, name=Path(path).stem, _texts={}, _widget=None, python_module=None, instance=None)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _PARENT_TEXTS:
            raise AttributeError(f"A scripted module's parent has no property '{name}'")
        if not isinstance(value, _PARENT_TEXTS[name]):
            raise TypeError(f"parent.{name} must be a {_PARENT_TEXTS[name].__name__}, not {value!r}")
        self._texts[name] = value

    def __getattr__(self, name: str) -> Any:
        if name in vars(self).get("_texts", {}):
            return self._texts[name]
        raise AttributeError(f"module '{vars(self).get('name')}' has no attribute '{name}' on the stand-in")

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        if self._widget is None:
            vars(self)["_widget"] = qSlicerScriptedLoadableModuleWidget(self)
            self._widget.setup_python_widget()
        return self._widget

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        widget = qSlicerScriptedLoadableModuleWidget(self)
        widget.setup_python_widget()
        return widget

    def logic(self) -> Any:
        raise NotImitated("A scripted module's logic() is a C++ object; make the Python logic class yourself")


class Modules:
    """Attributes as in Slicer: ``slicer.modules.volumes``, ``.ldctdenoise``, ``.LDCTDenoiseWidget``."""

    def find(self, name: str) -> Any:
        return next((entry for entry in vars(self).values() if getattr(entry, "name", None) == name), None)

    def names(self) -> list[str]:
        kinds = (CoreModule, qSlicerScriptedLoadableModule)
        return [entry.name for entry in vars(self).values() if isinstance(entry, kinds)]

    def __getattr__(self, name: str) -> Any:
        raise NotImitated(f"slicer.modules has no '{name}' on the stand-in")


def core_modules(modules: Modules, core: Any) -> None:
    for name, logic in {
        "Colors": core.colors, "Markups": core.markups, "Models": core.models, "Segmentations": core.segmentations,
        "Sequences": core.sequences, "SubjectHierarchy": core.subject_hierarchy, "Tables": core.tables,
        "Transforms": core.transforms, "Volumes": core.volumes,
    }.items():  # fmt: skip
        setattr(modules, name.lower(), CoreModule(name, lambda logic=logic: logic))


def import_scripted_module(path: Path) -> ModuleType:
    """Import a module file as Slicer does: by path, its folder on ``sys.path``."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def load_scripted_module(path: Path) -> qSlicerScriptedLoadableModule:
    entry = qSlicerScriptedLoadableModule(str(path))
    vars(entry)["python_module"] = import_scripted_module(path)
    setattr(slicer.modules, entry.name.lower(), entry)
    vars(entry)["instance"] = getattr(entry.python_module, entry.name)(entry)
    setattr(slicer.modules, entry.name + "Instance", entry.instance)
    return entry


def unload_scripted_module(entry: qSlicerScriptedLoadableModule) -> None:
    """Delete the panel, as the application does after its cleanup, and forget the module."""
    if entry._widget is not None:
        stop_observing(entry._widget)
        entry._widget.hide()
        entry._widget.deleteLater()
    for name in (entry.name.lower(), entry.name + "Instance", entry.name + "Widget"):
        vars(slicer.modules).pop(name, None)
    sys.modules.pop(entry.name, None)


def mrml_widgets_without_scene(panel: QtWidgets.QWidget) -> list[str]:
    widgets = [child for child in panel.findChildren(QtWidgets.QWidget) if isinstance(child, tuple(MRML_WIDGETS.values()))]
    return [QtCore.QObject.objectName(child) or type(child).__name__ for child in widgets if child.mrmlScene() is None]


def check_scenes(panel: QtWidgets.QWidget) -> None:
    forgotten = mrml_widgets_without_scene(panel)
    if forgotten:
        raise ForgottenScene(f"These widgets never got the scene (mrmlSceneChanged is not connected): {', '.join(forgotten)}")


def _call_if_there(widget: Any, method: str) -> None:
    if hasattr(widget, method):
        getattr(widget, method)()
