"""The lesion test: a disc at a point, or at many places of the shown slice."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import DenoisingCancelled, InputError

from .eventLoopTask import EventLoopTask
from .lesionMapView import KEPT, LEFT, LesionMapView
from .lesionPictures import lesionPictures
from .lesionTable import lesionTable, mapText
from .messages import breakable, messageOf
from .panelSection import PanelSection, saysErrors
from .sliceOverlay import OUT_OF_DATE
from .sliceViews import SliceView, viewOf
from .wrappedLabels import setText

_POINT_CLASS = "vtkMRMLMarkupsFiducialNode"


class LesionSection(PanelSection):
    """Point, contrast and diameters; figures and pictures; the map as an overlay."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        self._task: EventLoopTask | None = None
        self._mapping = False  # a map is computed, and wanted
        self._map = LesionMapView()
        self._shown: tuple[Any, dict[str, Any], int, SliceView] | None = None
        self._point: Any = None
        self._tested = False
        ui = self.ui
        ui.lesionMapCombo.addItem(_("Signal kept (red: little)"), KEPT)
        ui.lesionMapCombo.addItem(_("Noise left (red: much)"), LEFT)
        ui.lesionPlaceButton.connect("clicked(bool)", self.onPlaceButton)
        ui.lesionTestButton.connect("clicked(bool)", self.onTestButton)
        ui.lesionMapButton.connect("clicked(bool)", self.onMapButton)
        ui.lesionMapCombo.connect("currentIndexChanged(int)", self.onMapChosen)
        self._showBusy()

    @property
    def running(self) -> bool:
        return self._task is not None and self._task.running

    def update(self, node: Any) -> None:
        self._observePoint(node.lesionPoint)
        free = node.inputVolume is not None and not self.panel.run.running
        self.ui.lesionTestButton.enabled = free and not self.running and self._place() is not None
        self.ui.lesionMapButton.enabled = free and (self._mapping or not self.running)
        if self._shown is not None and node.inputVolume is not self._shown[0]:
            self._endMap()

    @saysErrors
    def onPlaceButton(self, *_args: Any) -> None:
        """Let the user click on the place in a view."""
        node = self.node.lesionPoint
        if node is None:
            scene = slicer.mrmlScene
            node = scene.AddNewNodeByClass(_POINT_CLASS, scene.GenerateUniqueName(_("Lesion")))
            self.node.lesionPoint = node
        node.RemoveAllControlPoints()
        node.SetMaximumNumberOfControlPoints(1)
        logic = slicer.app.applicationLogic()
        logic.GetSelectionNode().SetReferenceActivePlaceNodeClassName(_POINT_CLASS)
        logic.GetSelectionNode().SetActivePlaceNodeID(node.GetID())
        logic.GetInteractionNode().SetPlaceModePersistence(0)
        logic.GetInteractionNode().SetCurrentInteractionMode(logic.GetInteractionNode().Place)

    @saysErrors
    def onTestButton(self, *_args: Any) -> None:
        """Test at the point."""
        node = self.node
        place = self._place()
        if place is None:
            raise InputError(_("Place a point first."))
        self._clear()
        self._task = self.logic.startLesionTest(
            node.inputVolume, place, node.lesionContrast, _numbers(node.lesionDiameters), self.panel.settings(node),
            self._onTested, self._onFailed,
        )  # fmt: skip
        setText(self.ui.lesionInfoLabel, _("Computing..."))
        self._showBusy()

    @saysErrors
    def onMapButton(self, *_args: Any) -> None:
        """Make a map of the shown slice, stop making it, or take it away."""
        if not self.ui.lesionMapButton.checked:
            self._endMap()
            return
        node = self.node
        try:
            self.panel.preview.end()
            view, index = viewOf(node.inputVolume)
            diameter = _numbers(node.lesionDiameters)[0]
            self._clear()
            volume = node.inputVolume
            self._task = self.logic.startLesionMap(
                volume, index, node.lesionContrast, diameter, self.panel.settings(node), self._onProgress,
                lambda maps: self._onMapped(volume, maps, index, view), self._onFailed,
            )  # fmt: skip
            self._mapping = True
        except Exception as error:  # whatever it is, the panel must say it
            self._onFailed(error)
            return
        setText(self.ui.lesionInfoLabel, _("Computing..."))
        self.ui.lesionProgressBar.setRange(0, 0)
        self._showBusy()

    @saysErrors
    def onMapChosen(self, *_args: Any) -> None:
        """Show the other map."""
        if self._shown is not None:
            self._showMap()

    def sceneClosed(self) -> None:
        self._abort()
        self._observePoint(None)
        self._endMap()
        self._clear()

    def leave(self) -> None:
        """Another module is shown."""
        self._endMap()

    def cleanup(self) -> None:
        self._abort()
        self._map.remove()

    def _onTested(self, result: dict[str, Any]) -> None:
        setText(self.ui.lesionInfoLabel, lesionTable(result))
        display = self.node.inputVolume.GetScalarVolumeDisplayNode() if self.node and self.node.inputVolume else None
        window, level = (display.GetWindow(), display.GetLevel()) if display is not None else (400.0, 40.0)
        self.ui.lesionPictureLabel.setPixmap(lesionPictures(result["answers"], window, level))
        self._tested = True
        self.panel.setup.showDevice(result)
        self._showBusy()

    def _onProgress(self, done: int, total: int) -> None:
        self.ui.lesionProgressBar.setRange(0, total)
        self.ui.lesionProgressBar.setValue(done)

    def _onMapped(self, volume: Any, maps: dict[str, Any], index: int, view: SliceView) -> None:
        if volume.GetScene() is None:
            self._onFailed(InputError(_("The volume was deleted during the lesion test.")))
            return
        self._mapping = False
        setText(self.ui.lesionInfoLabel, mapText(maps))
        self._shown = (volume, maps, index, view)
        self._showMap()
        for event in OUT_OF_DATE:
            self.panel.addObserver(volume, event, self._endMap)
        self.panel.setup.showDevice(maps)
        self._showBusy()

    def _onFailed(self, error: Exception) -> None:
        cancelled = isinstance(error, DenoisingCancelled)
        self._mapping = False
        self._endMap()
        setText(self.ui.lesionInfoLabel, _("Cancelled.") if cancelled else breakable(messageOf(error)))
        self.panel.setup.showLog()
        self._showBusy()

    def _showMap(self) -> None:
        if self._shown is None:
            return
        volume, maps, index, view = self._shown
        kind = self.ui.lesionMapCombo.itemData(self.ui.lesionMapCombo.currentIndex)
        if maps[kind] is None:
            setText(self.ui.lesionInfoLabel, _("Noise left: there is no uniform soft tissue to measure the scan's own noise in."))
            self._map.remove()
        else:
            setText(self.ui.lesionInfoLabel, mapText(maps))
            self._map.show(volume, maps, kind, index, view)

    def _endMap(self, *_args: Any) -> None:
        if self._mapping and self._task is not None:
            self._mapping = False
            self._task.cancel()
            setText(self.ui.lesionInfoLabel, _("Cancelling..."))
        if self._shown is not None:
            for event in OUT_OF_DATE:
                self.panel.removeObserver(self._shown[0], event, self._endMap)
        self._shown = None
        self._map.remove()
        self.ui.lesionMapButton.checked = False
        self._showBusy()

    def _clear(self) -> None:
        """Take away what the last test showed."""
        if not self.ui.lesionMapButton.checked:
            self._endMap()
        self._tested = False
        setText(self.ui.lesionInfoLabel, "")
        self.ui.lesionPictureLabel.visible = False

    def _showBusy(self) -> None:
        self.ui.lesionProgressBar.visible = self._mapping
        self.ui.lesionMapButton.text = _("Cancel map") if self._mapping else _("Map of slice")
        self.ui.lesionMapCombo.visible = self._shown is not None
        self.ui.lesionPictureLabel.visible = self._tested
        self.panel.update()

    def _abort(self) -> None:
        if self._task is not None:
            self._task.abort()

    def _place(self) -> tuple[float, float, float] | None:
        """RAS of the chosen point; None where none is placed."""
        if self._point is None or self._point.GetNumberOfDefinedControlPoints() == 0:
            return None
        place = [0.0, 0.0, 0.0]
        self._point.GetNthControlPointPositionWorld(0, place)
        return place[0], place[1], place[2]

    def _observePoint(self, point: Any) -> None:
        """A point that is placed or moved does not touch the parameter node."""
        if point is self._point:
            return
        markups = slicer.vtkMRMLMarkupsNode
        for event in (markups.PointModifiedEvent, markups.PointPositionDefinedEvent, vtk.vtkCommand.ModifiedEvent):
            if self._point is not None:
                self.panel.removeObserver(self._point, event, self._onPointModified)
            if point is not None:
                self.panel.addObserver(point, event, self._onPointModified)
        self._point = point

    def _onPointModified(self, *_args: Any) -> None:
        self.panel.update()


def _numbers(text: str) -> list[float]:
    """Diameters as they were typed, in mm.

    Raises:
        InputError: one is no number, or not above 0.
    """
    try:
        numbers = [float(word) for word in text.replace(";", ",").split(",") if word.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) <= 0:
        raise InputError(_("The diameter must be a number of mm, such as 8, or several, such as 4, 8, 12."))
    return numbers
