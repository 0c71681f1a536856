"""qMRMLNodeComboBox: choose, create, rename or delete a node of the scene."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets

from ..pythonqt.signals import emit, listen
from .mrml_widget import check_scene

_SCENE_EVENTS = (
    slicer.vtkMRMLScene.NodeAddedEvent,
    slicer.vtkMRMLScene.NodeRemovedEvent,
    slicer.vtkMRMLScene.EndBatchProcessEvent,
)

_with_scene: weakref.WeakSet[qMRMLNodeComboBox] = weakref.WeakSet()


def stop_observing(panel: QtWidgets.QWidget | None = None) -> None:
    """The node selectors of a panel (or all) let go of the scene, which Qt's deletion does not tell to Python."""
    for combo_box in list(_with_scene):
        if panel is None or panel.isAncestorOf(combo_box):
            combo_box._stop_observing()


class qMRMLNodeComboBox(QtWidgets.QWidget):
    NATIVE = True
    currentNodeChanged = QtCore.Signal(object)
    currentNodeValid = QtCore.Signal(bool)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    SIGNALS: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged(PyObject)",
        "currentNodeChanged(bool)": "currentNodeValid(bool)",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated(PyObject)",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded(PyObject)",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser(PyObject)",
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        combo = QtWidgets.QComboBox(self)
        combo.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(combo)
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        vars(self).update(
            _combo=combo, _scene=None, _tags=[], _node_types=[], _attributes=[], _current_id=None, _items=[], _name_tags={},
            _options={
                "showHidden": False, "showChildNodeTypes": True, "noneEnabled": False, "noneDisplay": "None",
                "addEnabled": True, "removeEnabled": True, "editEnabled": False, "renameEnabled": False,
                "baseName": "", "selectNodeUponCreation": True,
            },
        )  # fmt: skip
        listen(combo, "activated(int)", self._activated)

    # The scene

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return vars(self)["_scene"]

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        check_scene(scene)
        if scene is vars(self)["_scene"]:
            return
        self._stop_observing()
        vars(self).update(_scene=scene, _tags=[], _current_id=None)
        if scene is not None:
            _with_scene.add(self)
            vars(self)["_tags"] = [scene.AddObserver(event, self._scene_changed) for event in _SCENE_EVENTS]
        self._refresh()

    def _stop_observing(self) -> None:
        for tag in vars(self)["_tags"]:
            vars(self)["_scene"].RemoveObserver(tag)
        for node, tag in vars(self)["_name_tags"].values():
            node.RemoveObserver(tag)
        vars(self)["_tags"].clear()
        vars(self)["_name_tags"].clear()
        _with_scene.discard(self)

    def _scene_changed(self, scene: slicer.vtkMRMLScene, _event: str) -> None:
        if not scene.IsBatchProcessing():
            self._refresh()

    # The nodes

    def _fits(self, node: slicer.vtkMRMLNode) -> bool:
        options = vars(self)["_options"]
        if node.GetHideFromEditors() and not options["showHidden"]:
            return False
        for node_type in vars(self)["_node_types"]:
            if node.IsA(node_type) if options["showChildNodeTypes"] else node.GetClassName() == node_type:
                wanted = [(name, value) for kind, name, value in vars(self)["_attributes"] if kind == node_type]
                if all(
                    node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name)) for name, value in wanted
                ):
                    return True
        return False

    def _nodes(self) -> list[slicer.vtkMRMLNode]:
        scene = vars(self)["_scene"]
        if scene is None:
            return []
        nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
        return [node for node in nodes if self._fits(node)]

    def _refresh(self) -> None:
        """Rebuild the list; the current node stays. When it was removed, its neighbour is chosen, as Qt's combo box does."""
        options, combo = vars(self)["_options"], vars(self)["_combo"]
        nodes = self._nodes()
        ids = [node.GetID() for node in nodes]
        self._observe_names(nodes)
        kind = options["baseName"] or self._type_label()
        items: list[tuple[str, str | None]] = [("none", None)] if options["noneEnabled"] else []
        items += [("node", node_id) for node_id in ids]
        labels = [options["noneDisplay"]] * options["noneEnabled"] + [node.GetName() for node in nodes]
        for option, action, label in (
            ("renameEnabled", "rename", "Rename current {}"),
            ("addEnabled", "add", "Create new {}"),
            ("removeEnabled", "remove", "Delete current {}"),
        ):
            if options[option]:
                items.append((action, None))
                labels.append(label.format(kind))
        before = vars(self)["_items"]
        combo.clear()
        combo.addItems(labels)
        vars(self)["_items"] = items
        current = vars(self)["_current_id"]
        if current not in ids:
            removed = before.index(("node", current)) if ("node", current) in before else 0
            offered = [node_id for kind, node_id in items if kind in ("none", "node")]
            current = offered[min(removed, len(offered) - 1)] if offered else None
            if current is None and ids and not options["noneEnabled"]:
                current = ids[0]
        self._select(current)

    def _observe_names(self, nodes: list[slicer.vtkMRMLNode]) -> None:
        tags = vars(self)["_name_tags"]
        for node, tag in tags.values():
            node.RemoveObserver(tag)
        tags.clear()
        for node in nodes:
            tags[node.GetID()] = (node, node.AddObserver("ModifiedEvent", self._renamed))

    def _renamed(self, node: slicer.vtkMRMLNode, _event: str) -> None:
        if ("node", node.GetID()) in vars(self)["_items"]:
            vars(self)["_combo"].setItemText(vars(self)["_items"].index(("node", node.GetID())), node.GetName())

    def _type_label(self) -> str:
        types, scene = vars(self)["_node_types"], vars(self)["_scene"]
        tag = scene.GetTagByClassName(types[0]) if types and scene is not None else ""
        return tag or "node"

    def _select(self, node_id: str | None) -> None:
        item = ("node", node_id) if node_id else ("none", None)
        items, combo = vars(self)["_items"], vars(self)["_combo"]
        combo.setCurrentIndex(items.index(item) if item in items else -1)
        if node_id == vars(self)["_current_id"]:
            return
        vars(self)["_current_id"] = node_id
        node = self.currentNode()
        emit(self, "currentNodeChanged", node)
        emit(self, "currentNodeValid", node is not None)
        emit(self, "currentNodeIDChanged", node_id or "")

    def _activated(self, index: int) -> None:
        """The person chose an entry of the list."""
        what, node_id = vars(self)["_items"][index]
        current = vars(self)["_current_id"]
        if what in ("none", "node"):
            self._select(node_id)
            emit(self, "nodeActivated", self.currentNode())
            return
        self._select(current)
        {"add": self._add_by_user, "remove": self.removeCurrentNode, "rename": self.renameCurrentNode}[what]()

    def _add_by_user(self) -> None:
        emit(self, "nodeAddedByUser", self.addNode())

    # Slots of the real widget

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        scene, node_id = vars(self)["_scene"], vars(self)["_current_id"]
        return scene.GetNodeByID(node_id) if scene is not None and node_id else None

    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        if node is not None and not isinstance(node, slicer.vtkMRMLNode):
            raise TypeError(f"setCurrentNode takes a node or None, not {node!r}")
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str) -> None:
        """A node that is not in the list gives no node, as in Slicer."""
        self._select(node_id if ("node", node_id) in vars(self)["_items"] else None)

    def setCurrentNodeIndex(self, index: int) -> None:
        nodes = self._nodes()
        self.setCurrentNodeID(nodes[index].GetID() if 0 <= index < len(nodes) else "")

    def nodeFromIndex(self, index: int) -> slicer.vtkMRMLNode | None:
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def nodeCount(self) -> int:
        return len(self._nodes())

    def addNode(self, node_type: str | None = None) -> slicer.vtkMRMLNode:
        scene = vars(self)["_scene"]
        class_name = node_type or vars(self)["_node_types"][0]
        name = scene.GenerateUniqueName(vars(self)["_options"]["baseName"] or self._type_label())
        node = scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetName(name)
        for kind, attribute, value in vars(self)["_attributes"]:
            if kind == class_name and value is not None:
                node.SetAttribute(attribute, value)
        node = scene.AddNode(node)
        if vars(self)["_options"]["selectNodeUponCreation"]:
            self.setCurrentNode(node)
        emit(self, "nodeAdded", node)
        return node

    def removeCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            vars(self)["_scene"].RemoveNode(node)

    def renameCurrentNode(self) -> None:
        from ..messages import messages

        node = self.currentNode()
        if node is not None:
            messages.show("question", "New name:", "Rename")
            node.SetName(str(messages.take_answer()))

    def addAttribute(self, node_type: str, name: str, value: str | None = None) -> None:
        vars(self)["_attributes"].append((node_type, name, None if value is None else str(value)))
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        vars(self)["_attributes"] = [a for a in vars(self)["_attributes"] if a[:2] != (node_type, name)]
        self._refresh()

    # Properties

    def _get_node_types(self) -> list[str]:
        return list(vars(self)["_node_types"])

    def setNodeTypes(self, node_types: list[str]) -> None:
        known = slicer.vtkMRMLNode
        for name in node_types:
            if not (isinstance(getattr(slicer, name, None), type) and issubclass(getattr(slicer, name), known)):
                raise ValueError(f"nodeTypes: there is no MRML node class '{name}'")
        vars(self)["_node_types"] = list(node_types)
        self._refresh()

    def _get_current_node_id(self) -> str:
        return vars(self)["_current_id"] or ""

    def _option(name: str) -> tuple[Callable[..., Any], Callable[..., None]]:
        def read(self: Any) -> Any:
            return vars(self)["_options"][name]

        def write(self: Any, value: Any) -> None:
            if not isinstance(value, type(vars(self)["_options"][name])):
                raise TypeError(f"qMRMLNodeComboBox.{name} does not take {value!r}")
            vars(self)["_options"][name] = value
            self._refresh()

        return read, write

    nodeTypes = QtCore.Property("QStringList", _get_node_types, setNodeTypes)
    currentNodeID = QtCore.Property(str, _get_current_node_id, setCurrentNodeID)
    isNoneEnabled, setNoneEnabled = _option("noneEnabled")
    isShowHidden, setShowHidden = _option("showHidden")
    isShowChildNodeTypes, setShowChildNodeTypes = _option("showChildNodeTypes")
    _get_none_display, setNoneDisplay = _option("noneDisplay")
    isAddEnabled, setAddEnabled = _option("addEnabled")
    isRemoveEnabled, setRemoveEnabled = _option("removeEnabled")
    isEditEnabled, setEditEnabled = _option("editEnabled")
    isRenameEnabled, setRenameEnabled = _option("renameEnabled")
    _get_base_name, setBaseName = _option("baseName")
    isSelectNodeUponCreation, setSelectNodeUponCreation = _option("selectNodeUponCreation")
    noneEnabled = QtCore.Property(bool, isNoneEnabled, setNoneEnabled)
    showHidden = QtCore.Property(bool, isShowHidden, setShowHidden)
    showChildNodeTypes = QtCore.Property(bool, isShowChildNodeTypes, setShowChildNodeTypes)
    noneDisplay = QtCore.Property(str, _get_none_display, setNoneDisplay)
    addEnabled = QtCore.Property(bool, isAddEnabled, setAddEnabled)
    removeEnabled = QtCore.Property(bool, isRemoveEnabled, setRemoveEnabled)
    editEnabled = QtCore.Property(bool, isEditEnabled, setEditEnabled)
    renameEnabled = QtCore.Property(bool, isRenameEnabled, setRenameEnabled)
    baseName = QtCore.Property(str, _get_base_name, setBaseName)
    selectNodeUponCreation = QtCore.Property(bool, isSelectNodeUponCreation, setSelectNodeUponCreation)
    del _option
