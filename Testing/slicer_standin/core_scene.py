"""The scene and the logics that the application makes at its start: all real, from slicer-core."""

from __future__ import annotations

import slicer
import vtk

FIRST_LAYOUT = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


class CoreScene:
    """A scene with selection, interaction and layout nodes, colours, subject hierarchy and the module logics."""

    def __init__(self) -> None:
        self.scene = slicer.vtkMRMLScene()
        self._logics: list[slicer.vtkMRMLAbstractLogic] = []
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.slice_logics = vtk.vtkCollection()
        self.application_logic.SetSliceLogics(self.slice_logics)
        self.application_logic.SetMRMLScene(self.scene)
        self.colors = self._logic("vtkMRMLColorLogic")
        self.volumes = self._logic("vtkSlicerVolumesLogic")
        self.markups = self._logic("vtkSlicerMarkupsLogic")
        self.sequences = self._logic("vtkSlicerSequencesLogic")
        self.segmentations = self._logic("vtkSlicerSegmentationsModuleLogic")
        self.subject_hierarchy = self._logic("vtkSlicerSubjectHierarchyModuleLogic")
        self.transforms = self._logic("vtkSlicerTransformLogic")
        self.tables = self._logic("vtkSlicerTablesLogic")
        self.models = self._logic("vtkSlicerModelsLogic")
        self.layout = self._logic("vtkMRMLLayoutLogic")
        self.layout.GetLayoutNode().SetViewArrangement(FIRST_LAYOUT)
        self.slice_links = self._logic("vtkMRMLSliceLinkLogic")

    def end(self) -> None:
        """Empty the scene and take it from the logics: left to Python's order of destruction they crash."""
        self.slice_logics.RemoveAllItems()
        for logic in reversed(self._logics):
            if logic is not self.segmentations:  # it would warn of the missing scene
                logic.SetMRMLScene(None)
        self.application_logic.SetMRMLScene(None)
        self.scene.Clear(True)

    def _logic(self, class_name: str) -> slicer.vtkMRMLAbstractLogic:
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.scene)
        self._logics.append(logic)
        return logic
