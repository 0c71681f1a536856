"""What the module's self-tests check, on a small phantom."""

from __future__ import annotations

import unittest
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import DenoisingCancelled, LDCTDenoiseError

from . import sampleData
from .compareViews import CompareViews
from .sliceViews import shownSliceViews
from .waiting import outcomeOf, runSteps

# Not a test case of its own: Slicer's loader would run it beside LDCTDenoiseTest.
if TYPE_CHECKING:
    _Base = unittest.TestCase
else:
    _Base = object


class SelfTests(_Base):
    """The tests of ``LDCTDenoiseTest``, which makes the logic for each."""

    logic: Any

    def _phantom(self) -> Any:
        return runSteps(sampleData.phantomSteps(self.logic.worker, (2, 144, 144)))

    def test_GeometryAndTypeAreKept(self) -> None:
        volume = self._phantom()
        result = self.logic.process(volume, None)
        output = result["output"]
        for read in (volume, output):
            read.matrix = vtk.vtkMatrix4x4()
            read.GetIJKToRASMatrix(read.matrix)
        for row in range(4):
            for column in range(4):
                self.assertEqual(output.matrix.GetElement(row, column), volume.matrix.GetElement(row, column))
        self.assertEqual(output.GetImageData().GetDimensions(), volume.GetImageData().GetDimensions())
        self.assertEqual(output.GetImageData().GetScalarType(), volume.GetImageData().GetScalarType())
        self.assertEqual(output.GetAttribute("LDCTDenoise.ModelHash"), result["model_hash"])

    def test_NoiseFallsAndHUStay(self) -> None:
        figures = self.logic.process(self._phantom(), None)["comparison"]
        self.assertLess(figures["noise_after"], 0.7 * figures["noise_before"])
        self.assertLess(abs(figures["mean_shift"]), 2.0)

    def test_StrengthZeroChangesNothing(self) -> None:
        volume = self._phantom()
        output = self.logic.process(volume, None, blend=0.0)["output"]
        difference = slicer.util.arrayFromVolume(volume) - slicer.util.arrayFromVolume(output)
        self.assertFalse(difference.any())

    def test_CancelLeavesTheSceneAsItWas(self) -> None:
        volume = self._phantom()
        before = slicer.mrmlScene.GetNumberOfNodes()
        outcome: list[Any] = []
        run = self.logic.startProcess(volume, None, onFinished=outcome.append, onFailed=outcome.append)
        self.logic.cancel()
        with self.assertRaises(DenoisingCancelled):
            outcomeOf(run, outcome)
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def test_PreviewLeavesNoClutter(self) -> None:
        if not shownSliceViews():
            self.skipTest(_("No slice view is on the screen."))
        volume = self._phantom()
        sliceNode = shownSliceViews()[0].sliceNode
        sliceNode.SetOrientationToAxial()
        sliceNode.SetSliceOffset(volume.GetOrigin()[2])
        before = slicer.mrmlScene.GetNumberOfNodes()
        preview = self.logic.preview(volume)
        self.assertEqual(preview.index, 0)
        preview.cleanup()
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)

    def test_WhatIsNoCTIsRefused(self) -> None:
        with self.assertRaisesRegex(LDCTDenoiseError, "Choose an input volume"):
            self.logic.process(None, None)
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
        with self.assertRaisesRegex(LDCTDenoiseError, "Empty is empty"):
            self.logic.process(empty, None)
        labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
        with self.assertRaisesRegex(LDCTDenoiseError, "label map"):
            self.logic.process(labels, None)
        volume = self._phantom()
        slicer.util.arrayFromVolume(volume)[:] += 2000
        with self.assertRaisesRegex(LDCTDenoiseError, "do not look like HU"):
            self.logic.process(volume, None)
        with self.assertRaisesRegex(LDCTDenoiseError, "no model"):
            self.logic.process(self._phantom(), None, model="nonsense")

    def _shown(self) -> Any:
        """The phantom in the first view at its first slice; skips where there is no view."""
        if not shownSliceViews():
            self.skipTest(_("No slice view is on the screen."))
        volume = self._phantom()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        sliceNode = shownSliceViews()[0].sliceNode
        sliceNode.SetOrientationToAxial()
        sliceNode.SetSliceOffset(volume.GetOrigin()[2])
        return volume

    def test_CompareOpensWhereTheUserIs(self) -> None:
        volume = self._shown()
        output = self.logic.process(volume, None)["output"]
        before = slicer.app.layoutManager().layout
        offset = shownSliceViews()[0].sliceNode.GetSliceOffset()
        views = CompareViews()
        self.assertTrue(views.show(volume, output, None))
        try:
            self.assertEqual([view.name for view in shownSliceViews()], ["LDCTInput", "LDCTOutput"])
            for view, node in zip(shownSliceViews(), (volume, output), strict=True):
                self.assertAlmostEqual(view.sliceNode.GetSliceOffset(), offset)
                self.assertGreater(min(view.sliceNode.GetDimensions()[:2]), 0)
                self.assertEqual(view.compositeNode.GetBackgroundVolumeID(), node.GetID())
        finally:
            views.hide()
        self.assertEqual(slicer.app.layoutManager().layout, before)

    def test_PreviewUsesTheViewThatIsShown(self) -> None:
        volume = self._shown()
        manager = slicer.app.layoutManager()
        before = manager.layout
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpGreenSliceView)
        slicer.app.processEvents()
        view = shownSliceViews()[0]
        view.sliceNode.SetOrientationToAxial()
        view.sliceNode.SetSliceOffset(volume.GetOrigin()[2])
        preview = self.logic.preview(volume)
        try:
            self.assertEqual(view.name, "Green")
            self.assertIsNotNone(view.compositeNode.GetForegroundVolumeID())
        finally:
            preview.cleanup()
            view.sliceNode.SetOrientationToCoronal()
            manager.setLayout(before)

    def test_LesionTestChangesNothing(self) -> None:
        volume = self._phantom()
        voxels = slicer.util.arrayFromVolume(volume).copy()
        before = slicer.mrmlScene.GetNumberOfNodes()
        columns, rows, _slices = volume.GetImageData().GetDimensions()
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        middle = matrix.MultiplyPoint((columns * 0.3, rows * 0.45, 0, 1))[:3]
        (answer,) = self.logic.lesionTest(volume, middle, contrast=-40, diameters=(20,))["answers"]
        self.assertGreater(answer["signal_kept"], 0.3)
        self.assertLess(answer["noise_after"], answer["noise_before"])
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
        self.assertFalse((slicer.util.arrayFromVolume(volume) - voxels).any())

    def test_QuittingEndsAWaitingCall(self) -> None:
        """As the application's end does it: the event loop that waits is left, and the run is aborted."""
        volume = self._phantom()
        before = slicer.mrmlScene.GetNumberOfNodes()
        outcome: list[Any] = []
        run = self.logic.startProcess(volume, None, onFinished=outcome.append, onFailed=outcome.append)
        run.abort()
        with self.assertRaises(DenoisingCancelled):
            outcomeOf(run, outcome)
        self.assertEqual(outcome, [])
        self.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), before)
