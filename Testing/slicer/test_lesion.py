"""The lesion test in the panel: a point, one press, figures and pictures; the map as an overlay; no volume changes."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.measures.lesion_test import map_lesions, try_lesion
from LDCTDenoiseLib.measures.signal_kept import Lesion
from Testing.slicer.slicer_panel import Panel, add_ct, noisy_slices, scene_now, scroll_red_view, voxels_of

SPACING = (0.8, 0.7)
"""Rows and columns of ``add_ct``."""


@pytest.fixture
def panel(warm_panel: Panel) -> Panel:
    return warm_panel


@pytest.fixture
def shown(panel: Panel) -> Any:
    """A CT in the Red view at its slice 1, chosen as input."""
    import slicer

    volume = add_ct(noisy_slices(4, 96))
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    scroll_red_view(volume, 1)
    panel.pick("inputSelector", volume)
    panel.app.process_events()
    return volume


def ras(volume: Any, index: int, row: int, column: int) -> tuple[float, float, float]:
    right, front, up = volume.GetOrigin()
    across, down, step = volume.GetSpacing()
    return right - column * across, front - row * down, up + index * step


def place_point(panel: Panel, place: tuple[float, float, float]) -> Any:
    """Press Place and click, as the markups module takes it."""
    import slicer

    panel.ui.lesionPlaceButton.click()
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    point = panel.parameters.lesionPoint
    assert slicer.app.applicationLogic().GetSelectionNode().GetActivePlaceNodeID() == point.GetID()
    point.AddControlPoint(*place)
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    return point


def wait(panel: Panel) -> str:
    label = panel.ui.lesionInfoLabel
    panel.wait_for(lambda: label.text not in ("", "Computing..."), "the lesion test")
    return label.text


def table(panel: Panel) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", panel.ui.lesionInfoLabel.text)
    return [[html.unescape(cell).replace("\xa0", " ") for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


def test_one_press_tells_what_is_left_of_a_disc_and_changes_nothing(panel: Panel, shown: Any, tiny_model: Path) -> None:
    assert not panel.ui.lesionTestButton.enabled
    place_point(panel, ras(shown, 2, 50, 40))
    assert panel.ui.lesionTestButton.enabled
    panel.ui.strengthSlider.value = 80
    panel.ui.lesionDiametersEdit.text = "8, 4"
    before = scene_now()
    panel.ui.lesionTestButton.click()
    assert "-20 HU in slice 2" in wait(panel)
    assert scene_now() == before
    assert panel.ui.lesionPictureLabel.visible
    denoise = Denoiser(tiny_model, "cpu", blend=0.8)
    for line, diameter in zip(table(panel)[1:], (8, 4), strict=True):
        expected = try_lesion(denoise, voxels_of(shown)[2:3], (0, 50, 40), Lesion(-20, diameter / 2), SPACING)
        assert line[0] == f"{diameter} mm"
        assert line[1] == f"{100 * expected.signal_kept:.0f} %"
        assert line[2] == f"{expected.noise_before:.1f} → {expected.noise_after:.1f}"
        assert line[3] == f"{expected.cnr_before:.1f} → {expected.cnr_after:.1f}"


def test_a_script_gets_the_librarys_own_figures(logic: Any, tiny_model: Path) -> None:
    volume = add_ct(noisy_slices(3, 96))
    result = logic.lesionTest("CT", ras(volume, 1, 40, 50), contrast=30, diameters=(6,), model=tiny_model)
    expected = try_lesion(Denoiser(tiny_model, "cpu"), voxels_of(volume)[1:2], (0, 40, 50), Lesion(30, 3), SPACING)
    (answer,) = result["answers"]
    assert (result["slice"], result["place"]) == (1, (40, 50))
    assert answer["signal_kept"] == pytest.approx(expected.signal_kept, abs=1e-4)
    np.testing.assert_allclose(answer["pictures"][0], expected.input_with_lesion)
    np.testing.assert_allclose(answer["pictures"][2], expected.difference, atol=0.01)
    with pytest.raises(InputError, match="lies outside CT"):
        logic.lesionTest(volume, (900, 0, 0), model=tiny_model)


@pytest.mark.parametrize("typed", ["", "eight", "0", "-3"])
def test_a_diameter_that_is_none_is_said(panel: Panel, shown: Any, typed: str) -> None:
    place_point(panel, ras(shown, 2, 50, 40))
    panel.ui.lesionDiametersEdit.text = typed
    panel.ui.lesionTestButton.click()
    assert panel.status == "The diameter must be a number of mm, such as 8, or several, such as 4, 8, 12."


def test_a_point_in_air_or_outside_is_said(panel: Panel, shown: Any) -> None:
    voxels = noisy_slices(4, 96)
    voxels[:, :30] = -1000
    panel.pick("inputSelector", add_ct(voxels))
    point = place_point(panel, ras(shown, 2, 15, 40))
    panel.ui.lesionTestButton.click()
    assert "There is air at row 15, column 40 of slice 2" in wait(panel)
    point.SetNthControlPointPosition(0, 900, 0, 0)
    panel.ui.lesionTestButton.click()
    panel.wait_for(lambda: "lies outside CT" in panel.ui.lesionInfoLabel.text, "the sentence")


def overlay() -> Any:
    import slicer

    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    return slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID() or "")


def colours() -> tuple[str, str]:
    """Of the shares 0 and 1 in the map that is shown."""
    table = overlay().GetDisplayNode().GetColorNode().GetLookupTable()
    names = {(1, 0, 0): "red", (0, 0, 1): "blue"}
    first, last = (names[tuple(round(part) for part in table.GetTableValue(n)[:3])] for n in (0, 255))
    return first, last


def test_the_map_lies_over_the_shown_slice_and_goes_without_a_trace(panel: Panel, shown: Any, tiny_model: Path) -> None:
    before = scene_now()
    panel.ui.lesionMapButton.click()
    assert panel.ui.lesionMapButton.text == "Cancel map"
    assert not panel.ui.lesionProgressBar.isHidden()
    told = wait(panel)
    expected = map_lesions(Denoiser(tiny_model, "cpu"), voxels_of(shown)[1], Lesion(-20, 4), SPACING)
    assert f"Signal kept: {100 * np.median(expected.signal_kept):.0f} %" in told
    assert f"at {len(expected.places)} places" in told
    assert panel.ui.lesionProgressBar.isHidden()
    drawn = voxels_of(overlay())[0]
    wanted = expected.image(expected.signal_kept)
    np.testing.assert_allclose(drawn, np.where(np.isnan(wanted), -1, np.clip(wanted, 0, 1)), atol=1e-3)
    assert overlay().GetOrigin()[2] == pytest.approx(shown.GetOrigin()[2] + shown.GetSpacing()[2])
    assert panel.ui.lesionMapCombo.visible
    panel.ui.lesionMapButton.click()
    assert overlay() is None
    assert scene_now() == before


def test_the_map_of_the_noise_that_is_left_is_chosen(panel: Panel, shown: Any) -> None:
    before = scene_now()
    panel.ui.lesionMapButton.click()
    assert "Noise left:" in wait(panel)
    kept = voxels_of(overlay())
    assert colours() == ("red", "blue")  # little signal kept, all of it
    panel.pick_text("lesionMapCombo", "Noise left (red: much)")
    assert not np.array_equal(voxels_of(overlay()), kept)
    assert colours() == ("blue", "red")
    panel.outer.exit()
    assert overlay() is None
    assert scene_now() == before


def test_the_maps_are_those_that_the_command_line_writes(panel: Panel, shown: Any, tiny_model: Path, tmp_path: Path) -> None:
    import slicer

    slicer.util.saveNode(shown, str(tmp_path / "ct.nrrd"))
    options = ["--at", "40,50,1", "--model", str(tiny_model), "--device", "cpu", "--map", str(tmp_path / "map.nrrd"), "--quiet"]
    assert main(["lesion-test", str(tmp_path / "ct.nrrd"), *options]) == 0
    panel.ui.lesionMapButton.click()
    wait(panel)
    for entry, name in (("Signal kept (red: little)", "map"), ("Noise left (red: much)", "map_noise_left")):
        panel.pick_text("lesionMapCombo", entry)
        written = sitk.ReadImage(str(tmp_path / f"{name}.nrrd"))
        voxels = sitk.GetArrayFromImage(written)
        np.testing.assert_allclose(voxels_of(overlay()), np.where(voxels == -1, -1, np.clip(voxels, 0, 1)), atol=1e-5)
        assert written.GetOrigin()[2] == pytest.approx(overlay().GetOrigin()[2])


def test_a_map_can_be_cancelled(panel: Panel) -> None:
    import slicer

    volume = add_ct(noisy_slices(1, 512))
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    scroll_red_view(volume, 0)
    panel.pick("inputSelector", volume)
    panel.parameters.model = "default"
    panel.ui.lesionMapButton.click()
    panel.wait_for(lambda: panel.worker.client.busy, "the job")
    start = time.monotonic()
    panel.ui.lesionMapButton.click()
    panel.wait_for(lambda: panel.ui.lesionInfoLabel.text == "Cancelled.", "the end")
    assert time.monotonic() - start < 3
    assert overlay() is None
    assert not panel.ui.lesionMapButton.checked


def test_leaving_the_module_ends_a_map_that_is_computed(panel: Panel, shown: Any) -> None:
    before = scene_now()
    panel.ui.lesionMapButton.click()
    panel.widget.exit()
    assert not panel.ui.lesionMapButton.checked
    panel.wait_for(lambda: panel.ui.lesionInfoLabel.text == "Cancelled.", "the end")
    assert scene_now() == before
    panel.widget.enter()
    assert panel.ui.lesionMapButton.enabled


def test_a_map_that_was_cancelled_is_over_before_the_next(panel: Panel, shown: Any) -> None:
    panel.ui.lesionMapButton.click()
    panel.ui.lesionMapButton.click()
    assert not panel.ui.lesionMapButton.enabled
    panel.wait_for(lambda: panel.ui.lesionMapButton.enabled, "the end")
    panel.ui.lesionMapButton.click()
    wait(panel)
    assert panel.ui.lesionMapButton.checked
    assert overlay() is not None


def test_a_preview_ends_a_map_that_is_computed(panel: Panel, shown: Any) -> None:
    panel.ui.lesionMapButton.click()
    panel.ui.previewButton.click()
    panel.wait_for(lambda: "Slice 1" in panel.ui.previewInfoLabel.text, "the preview")
    assert not panel.ui.lesionMapButton.checked
    panel.ui.previewButton.click()
    assert overlay() is None


def test_a_map_goes_when_its_volume_changes(panel: Panel, shown: Any) -> None:
    import slicer

    panel.ui.lesionMapButton.click()
    wait(panel)
    shown.SetAndObserveTransformNodeID(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    assert overlay() is None
    assert not panel.ui.lesionMapButton.checked


def test_closing_the_scene_ends_a_test(panel: Panel, shown: Any) -> None:
    import slicer

    place_point(panel, ras(shown, 2, 50, 40))
    panel.ui.lesionTestButton.click()
    panel.app.close_scene()
    panel.app.process_events(0.5)
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert panel.ui.lesionInfoLabel.text == ""
