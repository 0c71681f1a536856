"""The preview: the slice of the Red view denoised over the input, faded, following, and gone without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LDCTDenoiseLib import Denoiser
from Testing.slicer.slicer_panel import Panel, add_ct, noisy_slices, scene_now, scroll_red_view, voxels_of


@pytest.fixture
def panel(warm_panel: Panel) -> Panel:
    return warm_panel


def red() -> Any:
    import slicer

    return slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()


def overlay() -> Any:
    """The volume that lies over the input in the Red view, or None."""
    import slicer

    return slicer.mrmlScene.GetNodeByID(red().GetForegroundVolumeID() or "")


@pytest.fixture
def shown(panel: Panel) -> Any:
    """A CT in the Red view at its slice 1, chosen as input."""
    import slicer

    volume = add_ct()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    scroll_red_view(volume, 1)
    panel.pick("inputSelector", volume)
    return volume


def press(panel: Panel) -> str:
    """Press the button and wait; returns what the panel says."""
    panel.ui.previewButton.click()
    panel.wait_for(lambda: panel.ui.previewInfoLabel.text not in ("", "Computing..."), "the preview")
    return panel.ui.previewInfoLabel.text


def test_one_press_lays_the_denoised_slice_over_the_input(panel: Panel, shown: Any, tiny_model: Path) -> None:
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    shown.GetDisplayNode().SetInterpolate(False)
    panel.ui.fadeSlider.value = 60
    panel.ui.strengthSlider.value = 70
    assert press(panel).startswith("Slice 1, on cpu (because ")
    node = overlay()
    expected = Denoiser(tiny_model, "cpu", blend=0.7)(voxels_of(shown)[1:2])
    np.testing.assert_array_equal(voxels_of(node), expected)
    assert red().GetBackgroundVolumeID() == shown.GetID()
    assert red().GetForegroundOpacity() == pytest.approx(0.6)
    assert (node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) == (350, 40)
    # It lies where the input's slice lies, and is on the screen there.
    right, front, up = shown.GetOrigin()
    np.testing.assert_allclose(node.GetOrigin(), [right, front, up + shown.GetSpacing()[2]])
    logic = slicer.app.layoutManager().sliceWidget("Red").sliceLogic()
    layer = logic.GetForegroundLayer()
    assert layer.GetVolumeNode() is node
    layer.GetReslice().Update()
    drawn = vtk_to_numpy(layer.GetReslice().GetOutput().GetPointData().GetScalars())
    assert set(np.unique(drawn)) >= set(np.unique(expected)), "the denoised voxels are not on the screen"
    panel.ui.fadeSlider.value = 20
    assert red().GetForegroundOpacity() == pytest.approx(0.2)
    panel.ui.previewButton.click()
    assert overlay() is None


def test_pressing_again_leaves_no_clutter_and_the_earlier_overlay(panel: Panel, shown: Any) -> None:
    before_overlay = add_ct(name="PET")
    red().SetForegroundVolumeID(before_overlay.GetID())
    red().SetForegroundOpacity(0.3)
    panel.ui.fadeSlider.value = 90
    before = scene_now()
    press(panel)
    assert overlay() is not before_overlay
    panel.ui.previewButton.click()
    assert scene_now() == before
    assert overlay() is before_overlay
    assert red().GetForegroundOpacity() == pytest.approx(0.3)
    assert panel.ui.previewInfoLabel.text == ""


def test_what_was_chosen_during_a_preview_stays_when_it_ends(panel: Panel, shown: Any) -> None:
    import slicer

    press(panel)
    other, fused = add_ct(name="Other"), add_ct(name="PET")
    slicer.util.setSliceViewerLayers(background=other)
    panel.ui.previewButton.click()
    views = [slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode() for name in ("Red", "Yellow", "Green")]
    assert [view.GetBackgroundVolumeID() for view in views] == [other.GetID()] * 3
    assert overlay() is None
    slicer.util.setSliceViewerLayers(background=shown)
    press(panel)
    red().SetForegroundVolumeID(fused.GetID())
    red().SetForegroundOpacity(0.4)
    panel.ui.fadeSlider.value = 80
    panel.ui.previewButton.click()
    assert overlay() is fused
    assert red().GetForegroundOpacity() == pytest.approx(0.4)
    assert red().GetBackgroundVolumeID() == shown.GetID()


def test_the_preview_is_not_offered_listed_or_saved(panel: Panel, shown: Any, tmp_path: Path) -> None:
    import slicer

    press(panel)
    node = overlay()
    offered = panel.ui.inputSelector
    assert node not in [offered.nodeFromIndex(index) for index in range(offered.nodeCount())]
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert hierarchy.GetItemByDataNode(node) == hierarchy.GetInvalidItemID()
    panel.app.save_scene(tmp_path / "scene.mrml")
    assert "preview" not in (tmp_path / "scene.mrml").read_text().replace("previewFade", "")
    assert node.GetID() not in {path.stem for path in tmp_path.iterdir()}


def test_following_previews_each_slice_that_is_scrolled_to(panel: Panel, shown: Any, tiny_model: Path) -> None:
    press(panel)
    scroll_red_view(shown, 2)
    panel.app.process_events(0.4)
    assert panel.ui.previewInfoLabel.text.startswith("Slice 1")
    panel.ui.followCheck.click()
    for index in (3, 0):
        scroll_red_view(shown, index)
        panel.wait_for(lambda index=index: panel.ui.previewInfoLabel.text.startswith(f"Slice {index}, "), f"slice {index}")
        np.testing.assert_array_equal(voxels_of(overlay()), Denoiser(tiny_model, "cpu")(voxels_of(shown)[index : index + 1]))
    scroll_red_view(shown, 40)  # outside: the preview stays, and comes along when a slice is shown again
    panel.app.process_events(0.4)
    assert panel.ui.previewButton.checked


def test_fast_scrolling_ends_at_the_slice_that_is_shown(panel: Panel, shown: Any) -> None:
    panel.ui.followCheck.click()
    panel.ui.previewButton.click()
    for index in (0, 2, 3, 1, 2):
        scroll_red_view(shown, index)
        panel.app.process_events(0.05)
    panel.wait_for(lambda: panel.ui.previewInfoLabel.text.startswith("Slice 2, "), "slice 2")
    panel.app.process_events(0.5)
    assert panel.ui.previewInfoLabel.text.startswith("Slice 2, ")


@pytest.mark.parametrize("orientation", ["Sagittal", "Coronal", "oblique"])
def test_a_view_that_does_not_show_the_volumes_slices_is_refused(panel: Panel, shown: Any, orientation: str) -> None:
    import slicer

    node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    if orientation == "oblique":
        node.SetOrientationToAxial()
        turn = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
        turn[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ turn[:3, :3]
        slicer.util.updateVTKMatrixFromArray(node.GetSliceToRAS(), turn)
        node.UpdateMatrices()
    else:
        node.SetOrientation(orientation)
    before = scene_now()
    assert "does not show the volume's axial slices" in press(panel)
    assert not panel.ui.previewButton.checked
    assert scene_now() == before


def test_a_place_outside_the_volume_is_refused(panel: Panel, shown: Any) -> None:
    scroll_red_view(shown, 30)
    assert "outside the volume" in press(panel)
    assert not panel.ui.previewButton.checked


def test_a_tilted_volume_is_previewed_in_a_view_that_is_turned_to_it(panel: Panel, shown: Any, tiny_model: Path) -> None:
    import slicer

    c, s = np.cos(np.radians(25)), np.sin(np.radians(25))
    tilt = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Tilt")
    matrix = np.array([[1, 0, 0, 5], [0, c, -s, 0], [0, s, c, 7], [0, 0, 0, 1]])
    tilt.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    shown.SetAndObserveTransformNodeID(tilt.GetID())
    assert "does not show" in press(panel)
    node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    node.RotateToVolumePlane(shown)
    right, front, up = shown.GetOrigin()
    centre = matrix @ [right - 15, front - 15, up + 2 * 2.5, 1]
    node.JumpSliceByOffsetting(*centre[:3])
    assert press(panel).startswith("Slice 2, ")
    np.testing.assert_array_equal(voxels_of(overlay()), Denoiser(tiny_model, "cpu")(voxels_of(shown)[2:3]))
    assert overlay().GetParentTransformNode() is tilt


def test_a_sagittally_stored_volume_shows_its_axial_slice(panel: Panel, tiny_model: Path) -> None:
    voxels = np.ascontiguousarray(np.moveaxis(noisy_slices(5), 0, 1))
    volume = add_ct(voxels)
    volume.SetIJKToRASDirections(*np.stack([(0, -1, 0), (0, 0, -1), (1, 0, 0)], axis=1).ravel())
    volume.SetSpacing(0.8, 2.5, 0.7)
    panel.pick("inputSelector", volume)
    import slicer

    node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    node.SetOrientationToAxial()
    node.SetSliceOffset(-500 - 3 * 2.5)
    assert press(panel).startswith("Slice 3, ")
    expected = Denoiser(tiny_model, "cpu")(np.ascontiguousarray(voxels[:, 3][None]))
    np.testing.assert_array_equal(voxels_of(overlay()), np.moveaxis(expected, 0, 1))


def test_closing_the_scene_ends_the_preview(panel: Panel, shown: Any) -> None:
    import slicer

    press(panel)
    panel.app.close_scene()
    assert not panel.ui.previewButton.checked
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert red().GetForegroundVolumeID() is None


def test_closing_the_scene_while_a_preview_is_computed_leaves_nothing(panel: Panel, shown: Any) -> None:
    import slicer

    panel.ui.previewButton.click()
    panel.app.close_scene()
    panel.app.process_events(0.5)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert panel.ui.previewInfoLabel.text == ""


def test_leaving_the_module_or_pressing_apply_ends_the_preview(panel: Panel, shown: Any) -> None:
    press(panel)
    panel.outer.exit()
    assert overlay() is None
    panel.outer.enter()
    press(panel)
    before = overlay()
    panel.denoise()
    assert before.GetScene() is None
    assert not panel.ui.previewButton.checked


def test_deleting_the_volume_ends_the_preview(panel: Panel, shown: Any) -> None:
    import slicer

    press(panel)
    slicer.mrmlScene.RemoveNode(shown)
    panel.app.process_events(0.1)
    assert not panel.ui.previewButton.checked
    assert overlay() is None
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


def test_choosing_another_volume_ends_the_preview(panel: Panel, shown: Any) -> None:
    press(panel)
    panel.pick("inputSelector", add_ct(name="Other"))
    assert not panel.ui.previewButton.checked
    assert overlay() is None


def test_what_is_no_hu_is_said_and_not_shown(panel: Panel, shown: Any) -> None:
    import slicer

    slicer.util.arrayFromVolume(shown)[:] += 2000
    assert "tick 'Skip the HU check'" in press(panel)
    assert not panel.ui.previewButton.checked
    assert overlay() is None


def test_a_killed_worker_ends_the_preview_with_a_message_and_the_next_press_works(panel: Panel, shown: Any) -> None:
    panel.ui.previewButton.click()
    panel.wait_for(lambda: panel.worker.client.pid, "the worker")
    import psutil

    psutil.Process(panel.worker.client.pid).kill()
    panel.wait_for(lambda: panel.ui.previewInfoLabel.text not in ("", "Computing..."), "the message")
    assert "ended unexpectedly" in panel.ui.previewInfoLabel.text
    assert not panel.ui.previewButton.checked
    assert press(panel).startswith("Slice 1, ")


@pytest.mark.parametrize("change", ["voxels", "transform"])
def test_a_preview_is_of_the_volume_as_it_is_now(panel: Panel, shown: Any, change: str) -> None:
    import slicer

    press(panel)
    before = voxels_of(overlay())
    if change == "voxels":  # another phase of a 4D CT
        image = slicer.util.addVolumeFromArray(voxels_of(shown) + np.int16(100), name="Phase").GetImageData()
        shown.SetAndObserveImageData(image)
        panel.wait_for(lambda: np.median(voxels_of(overlay()) - before) == pytest.approx(100, abs=10), "the new preview")
    else:
        moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        shown.SetAndObserveTransformNodeID(moved.GetID())
        panel.wait_for(lambda: overlay().GetTransformNodeID() == moved.GetID(), "the new preview")
