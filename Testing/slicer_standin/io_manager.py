"""Reading and writing of volumes and scenes through the real logics and storage nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6 import QtCore

from .core_scene import CoreScene
from .errors import NotImitated

_VOLUME_OPTIONS = {"labelmap": 1, "center": 2, "singleFile": 4, "autoWindowLevel": 8, "discardOrientation": 16}
_VOLUME_PROPERTIES = {"fileName", "fileNames", "name", "show", "colorNodeID", *_VOLUME_OPTIONS}


class qSlicerCoreIOManager(QtCore.QObject):
    NATIVE = True
    newFileLoaded = QtCore.Signal(object)

    def __init__(self, core: CoreScene) -> None:
        super().__init__()
        vars(self)["_core"] = core

    def loadNodes(self, file_type: str, properties: dict[str, Any], loaded: vtk.vtkCollection, messages: Any) -> bool:
        if file_type == "VolumeFile":
            return self._load_volume(properties, loaded, messages)
        if file_type == "SceneFile":
            return self._load_scene(properties)
        raise NotImitated(f"Loading of '{file_type}' is not imitated")

    def _load_volume(self, properties: dict[str, Any], loaded: vtk.vtkCollection, messages: Any) -> bool:
        unknown = set(properties) - _VOLUME_PROPERTIES
        if unknown:
            raise NotImitated(f"loadVolume: unknown properties {sorted(unknown)}")
        core, path = vars(self)["_core"], properties["fileName"]
        options = sum(bit for name, bit in _VOLUME_OPTIONS.items() if properties.get(name, name == "autoWindowLevel"))
        files = vtk.vtkStringArray()
        for name in properties.get("fileNames", ()):
            files.InsertNextValue(str(name))
        name = properties.get("name", Path(path).name.split(".")[0])
        node = core.volumes.AddArchetypeVolume(path, name, options, files) if Path(path).exists() else None
        if node is None:
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"Failed to read {path}")
            return False
        if "colorNodeID" in properties:
            node.GetDisplayNode().SetAndObserveColorNodeID(properties["colorNodeID"])
        if properties.get("show", True):
            selection = core.application_logic.GetSelectionNode()
            label = node.IsA("vtkMRMLLabelMapVolumeNode")
            (selection.SetActiveLabelVolumeID if label else selection.SetActiveVolumeID)(node.GetID())
            core.application_logic.PropagateVolumeSelection()
        loaded.AddItem(node)
        return True

    def _load_scene(self, properties: dict[str, Any]) -> bool:
        path = properties["fileName"]
        if Path(path).suffix != ".mrml":
            raise NotImitated("Only .mrml scenes are imitated, no .mrb")
        if not Path(path).exists():
            return False
        scene = vars(self)["_core"].scene
        scene.SetURL(str(path))
        scene.SetRootDirectory(str(Path(path).parent))
        return bool(scene.Connect() if properties.get("clear", False) else scene.Import())

    def fileWriterFileType(self, node: slicer.vtkMRMLNode) -> str:
        return "VolumeFile" if node.IsA("vtkMRMLVolumeNode") else "NodeFile"

    def saveNodes(self, file_type: str, properties: dict[str, Any], _messages: Any) -> bool:
        if file_type == "SceneFile":
            return self._save_scene(properties)
        node = vars(self)["_core"].scene.GetNodeByID(properties["nodeID"])
        if not node.GetStorageNode():
            node.AddDefaultStorageNode(str(properties["fileName"]))
        storage = node.GetStorageNode()
        storage.SetFileName(str(properties["fileName"]))
        storage.SetUseCompression(properties.get("useCompression", storage.GetUseCompression()))
        return bool(storage.WriteData(node))

    def _save_scene(self, properties: dict[str, Any]) -> bool:
        path = Path(properties["fileName"])
        if path.suffix != ".mrml":
            raise NotImitated("Only .mrml scenes are imitated")
        scene = vars(self)["_core"].scene
        scene.SetURL(str(path))
        scene.SetRootDirectory(str(path.parent))
        return bool(scene.Commit())
