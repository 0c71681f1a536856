"""qMRMLWidget: hands the scene on to the widgets that the .ui file connects to it."""

from __future__ import annotations

from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from ..pythonqt.signals import emit


class qMRMLWidget(QtWidgets.QWidget):
    NATIVE = True
    mrmlSceneChanged = QtCore.Signal(object)
    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged(PyObject)"}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        vars(self)["_scene"] = None

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return vars(self)["_scene"]

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        check_scene(scene)
        if scene is not vars(self)["_scene"]:
            vars(self)["_scene"] = scene
            emit(self, "mrmlSceneChanged", scene)


def check_scene(scene: object) -> None:
    if scene is not None and not isinstance(scene, slicer.vtkMRMLScene):
        raise TypeError(f"setMRMLScene takes a vtkMRMLScene, not {scene!r}")
