"""Side by side: input, output and noise map in linked views, and back to the layout that was there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from Testing.slicer.slicer_panel import Panel, add_ct, voxels_of

if TYPE_CHECKING:
    from Testing.slicer_standin.application import Application


@pytest.fixture
def panel(warm_panel: Panel) -> Panel:
    return warm_panel


def layout() -> Any:
    import slicer

    return slicer.app.layoutManager()


def view(name: str) -> Any:
    return layout().sliceWidget(name)


def views_on_screen() -> list[str]:
    nodes = layout().layoutLogic().GetViewNodes()
    return [nodes.GetItemAsObject(index).GetLayoutName() for index in range(nodes.GetNumberOfItems())]


@pytest.fixture
def compared(panel: Panel) -> dict[str, Any]:
    """A denoised CT with its noise map; the nodes by the name of their view."""
    volume = add_ct()
    panel.pick("inputSelector", volume)
    panel.want_noise_map()
    assert not panel.ui.compareButton.enabled
    output = panel.denoise()
    return {"LDCTInput": volume, "LDCTOutput": output, "LDCTNoise": panel.parameters.noiseMap}


def test_one_press_shows_the_volumes_in_linked_views_and_the_next_goes_back(panel: Panel, compared: dict[str, Any]) -> None:
    before, names_before = layout().layout, views_on_screen()
    panel.ui.compareButton.click()
    assert layout().layout != before
    assert views_on_screen() == list(compared)
    for name, volume in compared.items():
        composite, node = view(name).mrmlSliceCompositeNode(), view(name).mrmlSliceNode()
        assert composite.GetBackgroundVolumeID() == volume.GetID()
        assert composite.GetForegroundVolumeID() is None
        assert composite.GetLinkedControl()
        assert node.GetOrientation() == "Axial"
    windows = {(node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()) for node in list(compared.values())[:2]}
    assert windows == {(350, 40)}
    noise = compared["LDCTNoise"].GetDisplayNode()
    removed = voxels_of(compared["LDCTNoise"])[voxels_of(compared["LDCTInput"]) > -500].astype(float)
    assert noise.GetWindow() == pytest.approx(6 * removed[removed != 0].std(), rel=1e-6)
    assert noise.GetLevel() == 0
    panel.ui.compareButton.click()
    assert layout().layout == before
    assert views_on_screen() == names_before


def test_the_views_show_the_same_place_and_fit_the_volume(panel: Panel, compared: dict[str, Any]) -> None:
    import slicer

    panel.ui.compareButton.click()
    nodes = [view(name).mrmlSliceNode() for name in compared]
    matrices = [slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()).tolist() for node in nodes]
    assert matrices[0] == matrices[1] == matrices[2]
    bounds = [0.0] * 6
    compared["LDCTInput"].GetRASBounds(bounds)
    assert bounds[4] <= nodes[0].GetSliceOffset() <= bounds[5]
    fields = [node.GetFieldOfView()[:2] for node in nodes]
    assert fields[0] == fields[1] == fields[2]
    assert fields[0][0] >= bounds[1] - bounds[0] - 1


def test_without_a_noise_map_there_are_two_views(panel: Panel) -> None:
    volume = add_ct()
    panel.pick("inputSelector", volume)
    panel.denoise()
    panel.ui.compareButton.click()
    assert views_on_screen() == ["LDCTInput", "LDCTOutput"]
    assert view("LDCTOutput").mrmlSliceCompositeNode().GetBackgroundVolumeID()
    panel.want_noise_map()
    panel.denoise()
    assert views_on_screen() == ["LDCTInput", "LDCTOutput", "LDCTNoise"]


def test_without_the_output_there_is_nothing_to_compare(panel: Panel, compared: dict[str, Any]) -> None:
    import slicer

    before = layout().layout
    slicer.mrmlScene.RemoveNode(compared["LDCTOutput"])
    assert not panel.ui.compareButton.enabled
    assert layout().layout == before


def test_closing_the_scene_brings_the_layout_back(panel: Panel, compared: dict[str, Any]) -> None:
    before = layout().layout
    panel.ui.compareButton.click()
    panel.app.close_scene()
    assert layout().layout == before
    assert not panel.ui.compareButton.checked
    assert not panel.ui.compareButton.enabled
    assert panel.table == []


def test_one_press_is_one_toggle_also_after_another_layout_was_chosen(panel: Panel, compared: dict[str, Any]) -> None:
    import slicer

    panel.ui.compareButton.click()
    layout().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert not panel.ui.compareButton.checked
    panel.ui.compareButton.click()
    assert panel.ui.compareButton.checked
    assert views_on_screen() == list(compared)
    panel.ui.compareButton.click()
    assert layout().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView


def test_unloading_the_module_brings_the_layout_back(panel: Panel, compared: dict[str, Any]) -> None:
    before = layout().layout
    panel.ui.compareButton.click()
    panel.app.unload_modules()
    assert layout().layout == before


def test_the_next_run_is_seen_in_the_same_views_where_the_user_left_them(panel: Panel, compared: dict[str, Any]) -> None:
    panel.ui.compareButton.click()
    for name in compared:
        view(name).mrmlSliceNode().SetSliceOffset(-495)
        view(name).mrmlSliceNode().SetFieldOfView(10, 10, 1)
    assert panel.denoise() is compared["LDCTOutput"]
    for name, volume in compared.items():
        assert view(name).mrmlSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
        assert view(name).mrmlSliceNode().GetSliceOffset() == -495
        assert view(name).mrmlSliceNode().GetFieldOfView()[0] == 10
    other = add_ct(name="Other")
    panel.pick("inputSelector", other)
    output = panel.denoise()
    assert panel.ui.compareButton.checked
    assert view("LDCTInput").mrmlSliceCompositeNode().GetBackgroundVolumeID() == other.GetID()
    assert view("LDCTOutput").mrmlSliceCompositeNode().GetBackgroundVolumeID() == output.GetID()
    assert view("LDCTInput").mrmlSliceNode().GetFieldOfView()[0] == pytest.approx(10)
    panel.ui.compareButton.click()
    assert view("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID() == output.GetID()


def test_a_scene_saved_side_by_side_opens_with_its_views_and_a_press_goes_back(
    panel: Panel, compared: dict[str, Any], slicer_app: Application
) -> None:
    import slicer

    panel.ui.compareButton.click()
    arrangement = layout().layout
    slicer_app.reset()  # another session, which has not seen the comparison
    opened = Panel(slicer_app, None)
    layout().layoutLogic().GetLayoutNode().SetViewArrangement(arrangement)
    assert views_on_screen() == list(compared)
    assert opened.ui.compareButton.checked
    opened.ui.compareButton.click()
    assert layout().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
