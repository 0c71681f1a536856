"""qMRMLSliderWidget: a ctkSliderWidget that knows the scene's units."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore

from ..ctk_widgets.slider_widget import ctkSliderWidget
from .mrml_widget import check_scene


class qMRMLSliderWidget(ctkSliderWidget):
    """Only scene and quantity are added: the stand-in's scene has no units, so nothing is converted."""

    NATIVE = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        vars(self).update(_scene=None, _quantity="")

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return vars(self)["_scene"]

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        check_scene(scene)
        vars(self)["_scene"] = scene

    def _get_quantity(self) -> str:
        return vars(self)["_quantity"]

    def setQuantity(self, quantity: str) -> None:
        vars(self)["_quantity"] = quantity

    quantity = QtCore.Property(str, _get_quantity, setQuantity)
