"""The layout manager: real layout logic, slice logics and links, empty frames instead of rendered views.

A switch of the layout takes effect as in Slicer: new views have no size before events are processed, and a linked view tells
its group where it is when it gets one. A view that is not in the layout keeps its node; only its widget is not visible.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .core_scene import CoreScene
from .errors import NotImitated
from .pythonqt.signals import emit, listen

VIEW_SIZE = (480, 360)
"""Columns and rows of all views together; they share the width."""
_EVERYTHING = 0xFFFF
"""Interaction flags: orientation, place, field of view and the rest."""


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
        vars(self).update(_core=core, _widgets={}, _window=QtWidgets.QWidget())
        vars(self)["_window"].show()
        vars(self)["_timer"] = timer = QtCore.QTimer()
        timer.setSingleShot(True)
        listen(timer, "timeout()", self._lay_out)
        layout_node = core.layout.GetLayoutNode()
        vars(self)["_last"] = layout_node.GetViewArrangement()
        vars(self)["_tag"] = layout_node.AddObserver("ModifiedEvent", self._layout_modified)
        self._update()
        self._lay_out()

    def stop(self) -> None:
        vars(self)["_core"].layout.GetLayoutNode().RemoveObserver(vars(self)["_tag"])
        for widget in vars(self)["_widgets"].values():
            widget.sliceLogic().SetMRMLScene(None)
        vars(self)["_window"].deleteLater()
        vars(self).update(_core=None, _widgets={}, _window=None)

    def _layout_modified(self, node: slicer.vtkMRMLLayoutNode, _event: str) -> None:
        self._update()
        vars(self)["_timer"].start(0)
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
        core, widgets, window = (vars(self)[name] for name in ("_core", "_widgets", "_window"))
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
            widgets[name].setParent(window)
            node.SetDimensions(0, 0, 1)
        shown = self._shown_names()
        for name, widget in widgets.items():
            widget.setVisible(name in shown)

    def _shown_names(self) -> list[str]:
        """Slice views of the layout, in its order."""
        nodes = vars(self)["_core"].layout.GetViewNodes()
        nodes = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
        return [node.GetLayoutName() for node in nodes if node.IsA("vtkMRMLSliceNode")]

    def _lay_out(self) -> None:
        """Give the views of the layout their sizes."""
        if vars(self)["_core"] is None:  # the session has ended
            return
        shown = self._shown_names()
        for name in shown:
            widget = vars(self)["_widgets"][name]
            width, height = VIEW_SIZE[0] // len(shown), VIEW_SIZE[1]
            node = widget.mrmlSliceNode()
            first, field = node.GetDimensions()[0] == 0, node.GetFieldOfView()
            widget.resize(width, height)
            if first and widget.mrmlSliceCompositeNode().GetLinkedControl():
                widget.sliceLogic().StartSliceNodeInteraction(_EVERYTHING)
                widget.sliceLogic().ResizeSliceNode(width, height)
                widget.sliceLogic().EndSliceNodeInteraction()
            else:
                widget.sliceLogic().ResizeSliceNode(width, height)
            if np.isnan(field).any():  # fitted without a size: the view stays black until it is fitted again
                node.SetFieldOfView(*field)

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
