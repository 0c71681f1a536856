"""Which slices are denoised, and of a 4D CT which frames."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import InputError

from . import sliceRange
from .messages import messageOf
from .panelSection import PanelSection, saysErrors, select
from .sequences import sequenceOf
from .volumeArrays import checkInput, sliceCount
from .wrappedLabels import setText


class RegionSection(PanelSection):
    """Whole volume, slice range or ROI; all frames of a sequence."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        for text, value in (
            (_("Whole volume"), sliceRange.WHOLE),
            (_("Slice range"), sliceRange.RANGE),
            (_("Slices of an ROI"), sliceRange.ROI),
        ):
            self.ui.regionCombo.addItem(text, value)
        self.ui.regionCombo.connect("currentIndexChanged(int)", self.onRegionChosen)
        self._roi: slicer.vtkMRMLMarkupsROINode | None = None

    @saysErrors
    def onRegionChosen(self, *_args: Any) -> None:
        """A range that nobody has set begins as the whole volume."""
        if self.panel.updating:
            return
        self.setFromCombo(self.ui.regionCombo, "region")
        node = self.node
        untouched = node is not None and node.firstSlice == node.lastSlice == 0
        if untouched and node.region == sliceRange.RANGE and node.inputVolume is not None and node.inputVolume.GetImageData():
            node.lastSlice = sliceCount(node.inputVolume) - 1

    def update(self, node: Any) -> None:
        self._observeROI(node.roi)
        ui = self.ui
        select(ui.regionCombo, node.region)
        for widget in (ui.firstSliceLabel, ui.firstSliceSpin, ui.lastSliceLabel, ui.lastSliceSpin):
            widget.visible = node.region == sliceRange.RANGE
        for widget in (ui.roiLabel, ui.roiSelector):
            widget.visible = node.region == sliceRange.ROI
        ui.allFramesCheck.enabled = node.inputVolume is not None and sequenceOf(node.inputVolume) is not None
        setText(ui.regionInfoLabel, self._info(node) if node.inputVolume is not None else "")

    def sceneClosed(self) -> None:
        self._observeROI(None)

    def _info(self, node: Any) -> str:
        """Which slices Apply would denoise, or why it would not."""
        try:
            first, stop = self.slices(node) or (0, sliceCount(node.inputVolume))
        except InputError as error:
            return messageOf(error)
        several = _("{count} slices, {first} to {last}, will be denoised.")
        told = _("One slice, {first}, will be denoised.") if stop - first == 1 else several
        return told.format(count=stop - first, first=first, last=stop - 1)

    def _observeROI(self, roi: slicer.vtkMRMLMarkupsROINode | None) -> None:
        """An ROI that is moved, resized or transformed does not touch the parameter node."""
        if roi is self._roi:
            return
        events = (slicer.vtkMRMLMarkupsNode.PointModifiedEvent, slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
                  vtk.vtkCommand.ModifiedEvent)  # fmt: skip
        for event in events:
            if self._roi is not None:
                self.panel.removeObserver(self._roi, event, self.panel.update)
            if roi is not None:
                self.panel.addObserver(roi, event, self.panel.update)
        self._roi = roi

    def allFrames(self, node: Any) -> bool:
        """Whether to denoise every frame; the tick stays for the next 4D CT and says nothing about another input."""
        return node.allFrames and sequenceOf(node.inputVolume) is not None

    def slices(self, node: Any) -> tuple[int, int] | None:
        """Zero-based half-open range of the slices to denoise; None is all.

        Raises:
            InputError: the volume holds no CT, or the range or the ROI does not fit it.
        """
        checkInput(node.inputVolume)
        if node.region == sliceRange.RANGE:
            return sliceRange.slicesOfRange(node.firstSlice, node.lastSlice, node.inputVolume)
        if node.region == sliceRange.ROI:
            return sliceRange.slicesOfROI(node.roi, node.inputVolume)
        return None
