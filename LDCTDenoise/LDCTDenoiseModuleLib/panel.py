"""The panel: assembles its sections and keeps them in step with the parameter node."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from LDCTDenoiseLib.models.options import DenoisingOptions

from .compareSection import CompareSection
from .denoiseInWorker import Settings
from .exportSection import ExportSection
from .inputSection import InputSection
from .lesionSection import LesionSection
from .modelSection import ModelSection
from .previewSection import PreviewSection
from .regionSection import RegionSection
from .runSection import RunSection
from .setupSection import SetupSection
from .strengthSection import StrengthSection
from .wrappedLabels import WrappedLabels

if TYPE_CHECKING:
    from .denoisingLogic import DenoisingLogic


_NODE_PARAMETERS = ("inputVolume", "outputVolume", "noiseMap", "referenceVolume", "roi", "lesionPoint")


class Panel(VTKObservationMixin):
    """What a user sees of the module.

    Args:
        ui: the widgets of the .ui file, by name.
        logic: the module's logic, through which everything goes that the panel does.

    Attributes:
        node: the parameter node that the panel follows; None while the scene is closed or another module is shown.
        updating: whether the panel itself is choosing in a combo box.
    """

    def __init__(self, ui: Any, logic: DenoisingLogic) -> None:
        VTKObservationMixin.__init__(self)
        self.ui = ui
        self.logic = logic
        self.node: Any = None
        self.updating = False
        self._guiTag: Any = None
        self.input = InputSection(self)
        self.strength = StrengthSection(self)
        self.model = ModelSection(self)
        self.region = RegionSection(self)
        self.setup = SetupSection(self)
        self._wrapped = [label for label in vars(ui).values() if _isWrappedLabel(label)]
        self._heights = WrappedLabels(self._wrapped)
        self.run = RunSection(self)
        self.preview = PreviewSection(self)
        self.compare = CompareSection(self)
        self.lesion = LesionSection(self)
        self.export = ExportSection(self)
        self._sections = (
            self.input, self.strength, self.model, self.region, self.setup, self.run,
            self.preview, self.compare, self.lesion, self.export,
        )  # fmt: skip

    def follow(self) -> None:
        """Follow the scene's parameter node; choose the first volume where none is chosen yet."""
        self.unfollow()
        node = self.logic.getParameterNode()
        self.input.chooseFirst(node)
        self.node = node
        self._guiTag = node.connectGui(self.ui)
        for label in self._wrapped:
            label.visible = bool(label.text)
        self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onChoiceChanged)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeRemovedEvent, self.update)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeAddedEvent, self.input.onNodeAdded)
        self.update()

    def unfollow(self) -> None:
        """Let go of the parameter node."""
        if self.node is not None:
            self.node.disconnectGui(self._guiTag)
            self.removeObserver(self.node, vtk.vtkCommand.ModifiedEvent, self._onChoiceChanged)
            self.removeObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved)
            self.removeObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeRemovedEvent, self.update)
            self.removeObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeAddedEvent, self.input.onNodeAdded)
            self.node = None

    def leave(self) -> None:
        """Another module is shown."""
        self.preview.end()
        self.lesion.leave()
        self.unfollow()

    def sceneClosed(self) -> None:
        """The scene is about to be emptied."""
        self.unfollow()
        for section in self._sections:
            section.sceneClosed()

    def cleanup(self) -> None:
        """The panel goes away, with what runs for it."""
        for section in self._sections:
            section.cleanup()
        self.unfollow()
        self.removeObservers()

    def _onChoiceChanged(self, *_args: Any) -> None:
        self.run.choiceChanged()
        self.update()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, _scene: Any, _event: str, removed: slicer.vtkMRMLNode) -> None:
        """Choose nothing in place of a node that is removed: left to themselves the selectors choose its neighbour."""
        for name in _NODE_PARAMETERS:
            if self.node is not None and getattr(self.node, name) is removed:
                setattr(self.node, name, None)

    def update(self, *_args: Any) -> None:
        """Show what the parameter node says, and allow what can be done."""
        if self.node is None or self.updating:
            return
        with self.choosing():
            for section in self._sections:
                section.update(self.node)

    @contextlib.contextmanager
    def choosing(self) -> Iterator[None]:
        """Within it the panel itself chooses in combo boxes, which is no user's choice."""
        before, self.updating = self.updating, True
        try:
            yield
        finally:
            self.updating = before

    def settings(self, node: Any) -> Settings:
        """How to denoise, as the panel is set.

        An option of the library is the parameter of its name, in camel case; 0 stands for None.
        """
        told: dict[str, Any] = {"blend": node.strength / 100}
        for option in fields(DenoisingOptions):
            first, *others = option.name.split("_")
            name = first + "".join(other.capitalize() for other in others)
            if hasattr(node, name) and name != "region":  # of the panel: a range of slices, not a part of them
                value = getattr(node, name)
                told[option.name] = None if option.default is None and not value else value
        return Settings(DenoisingOptions(**told), node.force)


def _isWrappedLabel(widget: Any) -> bool:
    return widget.className() == "QLabel" and widget.wordWrap
