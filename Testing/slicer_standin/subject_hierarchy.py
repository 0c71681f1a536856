"""Items of the subject hierarchy for new data nodes, which the application's plugin logic makes in Slicer."""

from __future__ import annotations

import slicer
import vtk

_DATA = ("vtkMRMLVolumeNode", "vtkMRMLModelNode", "vtkMRMLMarkupsNode", "vtkMRMLTransformNode", "vtkMRMLSegmentationNode",
         "vtkMRMLTableNode", "vtkMRMLTextNode", "vtkMRMLSequenceNode", "vtkMRMLSequenceBrowserNode")  # fmt: skip


class SubjectHierarchyItems:
    """Adds an item when a data node is added to the scene and removes it with the node."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def added(_scene: object, _event: str, node: slicer.vtkMRMLNode) -> None:
            self._added(node)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def removed(_scene: object, _event: str, node: slicer.vtkMRMLNode) -> None:
            self._removed(node)

        self._tags = [
            scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added),
            scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removed),
        ]

    def stop(self) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)

    def _added(self, node: slicer.vtkMRMLNode) -> None:
        excluded = node.GetHideFromEditors() or node.GetAttribute("SubjectHierarchy.ExcludeFromTree")
        if excluded or self._scene.IsImporting() or not any(node.IsA(name) for name in _DATA):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    def _removed(self, node: slicer.vtkMRMLNode) -> None:
        if self._scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)
