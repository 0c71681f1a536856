"""The layout manager: real layout logic and slice logics, empty frames instead of rendered views."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .core_scene import CoreScene
from .errors import NotImitated
from .pythonqt.signals import emit


class qMRMLSliceView(QtWidgets.QWidget):
    """Nothing is rendered; asking for it is allowed, as the module does not look at the picture."""

    NATIVE = True

    def forceRender(self) -> None:
        pass

    def scheduleRender(self) -> None:
        pass


class qMRMLSliceControllerWidget(QtWidgets.QWidget):
    NATIVE = True

    def fitSliceToBackground(self) -> None:
        vars(self)["_logic"].FitSliceToBackground()

    def setSliceLink(self, linked: bool) -> None:
        """Links all slice views, as the button in the controller does."""
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            node.SetLinkedControl(linked)


class qMRMLSliceWidget(QtWidgets.QWidget):
    """A slice view with its real vtkMRMLSliceLogic, slice node and composite node."""

    NATIVE = True

    def __init__(self, logic: slicer.vtkMRMLSliceLogic) -> None:
        super().__init__()
        view, controller = qMRMLSliceView(self), qMRMLSliceControllerWidget(self)
        vars(controller)["_logic"] = logic
        vars(self).update(_logic=logic, _view=view, _controller=controller)

    def sliceLogic(self) -> slicer.vtkMRMLSliceLogic:
        return vars(self)["_logic"]

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self.sliceLogic().GetSliceNode()

    def mrmlSliceCompositeNode(self) -> slicer.vtkMRMLSliceCompositeNode:
        return self.sliceLogic().GetSliceCompositeNode()

    def sliceView(self) -> qMRMLSliceView:
        return vars(self)["_view"]

    def sliceController(self) -> qMRMLSliceControllerWidget:
        return vars(self)["_controller"]

    def setSliceOrientation(self, orientation: str) -> None:
        self.mrmlSliceNode().SetOrientation(orientation)

    def fitSliceToBackground(self) -> None:
        self.sliceLogic().FitSliceToBackground()


class qSlicerLayoutManager(QtCore.QObject):
    NATIVE = True
    layoutChanged = QtCore.Signal(int)

    def __init__(self, core: CoreScene) -> None:
        super().__init__()
        vars(self).update(_core=core, _widgets={})
        layout_node = core.layout.GetLayoutNode()
        vars(self)["_last"] = layout_node.GetViewArrangement()
        vars(self)["_tag"] = layout_node.AddObserver("ModifiedEvent", self._layout_modified)
        self._update()

    def stop(self) -> None:
        vars(self)["_core"].layout.GetLayoutNode().RemoveObserver(vars(self)["_tag"])
        for widget in vars(self)["_widgets"].values():
            widget.sliceLogic().SetMRMLScene(None)
        vars(self).update(_core=None, _widgets={})

    def _layout_modified(self, node: slicer.vtkMRMLLayoutNode, _event: str) -> None:
        self._update()
        if node.GetViewArrangement() != vars(self)["_last"]:
            vars(self)["_last"] = node.GetViewArrangement()
            emit(self, "layoutChanged", node.GetViewArrangement())

    def _slice_nodes(self) -> list[slicer.vtkMRMLSliceNode]:
        """Every slice view that a layout has made so far, shown or not."""
        scene = vars(self)["_core"].scene
        nodes = [scene.GetNthNodeByClass(i, "vtkMRMLSliceNode") for i in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode"))]
        return [node for node in nodes if node.GetLayoutName()]

    def _update(self) -> None:
        """A slice widget with its own logic for every slice view."""
        core, widgets = vars(self)["_core"], vars(self)["_widgets"]
        for node in self._slice_nodes():
            name = node.GetLayoutName()
            if name in widgets and widgets[name].mrmlSliceNode() is node:
                continue
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(core.application_logic)
            logic.SetMRMLScene(core.scene)
            logic.SetSliceNode(node)
            core.slice_logics.AddItem(logic)
            widgets[name] = qMRMLSliceWidget(logic)

    # The real layout manager's interface

    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        return vars(self)["_core"].layout

    def setLayout(self, layout: int) -> None:
        node = self.layoutLogic().GetLayoutNode()
        if not node.IsLayoutDescription(layout):
            raise ValueError(f"There is no layout {layout}: add its description to the layout node first")
        node.SetViewArrangement(layout)

    def _get_layout(self) -> int:
        return self.layoutLogic().GetLayoutNode().GetViewArrangement()

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(node.GetLayoutName() for node in self._slice_nodes())

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return vars(self)["_widgets"].get(name)

    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        return vars(self)["_core"].slice_logics

    def resetSliceViews(self) -> None:
        for node in self._slice_nodes():
            self.sliceWidget(node.GetLayoutName()).sliceLogic().FitSliceToAll()

    def resetThreeDViews(self) -> None:
        pass

    def threeDWidget(self, _index: int) -> Any:
        raise NotImitated("3D views are not imitated")

    def _get_three_d_view_count(self) -> int:
        return vars(self)["_core"].scene.GetNumberOfNodesByClass("vtkMRMLViewNode")

    layout = QtCore.Property(int, _get_layout, setLayout)
    threeDViewCount = QtCore.Property(int, _get_three_d_view_count)
