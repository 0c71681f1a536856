"""The panel as a person uses it: choose, press Apply, watch, look at the result, change something, apply again."""

from __future__ import annotations

import html
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.inference.backends import Backend, has_bfloat16
from LDCTDenoiseLib.models.model_info import find_model, read_info
from Testing.slicer.slicer_panel import Panel, add_ct, add_sequence, noisy_slices, scene_now, voxels_of


@pytest.fixture
def panel(warm_panel: Panel) -> Panel:
    return warm_panel


def expected(model: Path, voxels: np.ndarray, **options: Any) -> np.ndarray:
    slices = options.pop("slices", None)
    return Denoiser(model, "cpu", **options)(voxels, slices=slices)


def test_an_empty_scene_offers_nothing_to_press_and_says_what_is_missing(panel: Panel) -> None:
    assert not panel.ui.applyButton.enabled
    assert not panel.ui.previewButton.enabled
    assert not panel.ui.cancelButton.enabled
    assert panel.ui.progressBar.isHidden()
    assert "Choose an input" in panel.ui.applyButton.toolTip
    assert panel.ui.regionInfoLabel.text == ""


def test_a_volume_that_is_there_already_is_chosen_when_the_panel_opens(panel: Panel) -> None:
    import slicer

    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    volume = add_ct()
    panel.outer.exit()
    panel.outer.enter()
    assert panel.ui.inputSelector.currentNode() is volume
    assert panel.ui.applyButton.enabled
    offered = [panel.ui.inputSelector.nodeFromIndex(index) for index in range(panel.ui.inputSelector.nodeCount())]
    assert labels not in offered


def test_apply_makes_a_new_volume_and_tells_how_far_it_is_where_and_what_came_out(
    panel: Panel, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer

    volume = add_ct()
    panel.pick("inputSelector", volume)
    panel.ui.batchSpin.value = 1
    told: list[str] = []
    shown: list[tuple[int, int]] = []
    panel.apply()
    assert panel.running
    assert not panel.ui.applyButton.enabled
    assert not panel.ui.previewButton.enabled
    assert not panel.ui.progressBar.isHidden()

    def look() -> None:
        told.append(panel.status)
        shown.append((panel.ui.progressBar.value, panel.ui.progressBar.maximum))

    run_section = sys.modules["LDCTDenoiseModuleLib.runSection"].RunSection
    say = run_section.say

    def overheard(section: Any, text: str) -> None:  # a fast run says several things between two looks
        say(section, text)
        look()

    look()
    monkeypatch.setattr(run_section, "say", overheard)
    panel.wait_for(lambda: not panel.running, "the end of the run")
    output = panel.parameters.outputVolume
    assert panel.status == "Done: CT denoised, on cpu."
    assert output.GetName() == "CT denoised"
    np.testing.assert_array_equal(voxels_of(output), expected(tiny_model, voxels_of(volume), batch_size=1))
    assert told[0] == "Preparing..."
    assert any("of 4 slices" in text and "slices/s" in text and "left" in text for text in told), told
    assert any("Computed on cpu, because" in text for text in told), told
    assert {maximum for _value, maximum in shown} == {0, 4}
    assert panel.ui.progressBar.isHidden()
    assert panel.ui.applyButton.enabled
    assert panel.ui.deviceInfoLabel.text.startswith("Computed on cpu, because ")
    titles, row = panel.table
    assert titles == ["Strength", "Noise, HU", "Change", "Shift, HU", "Time"]
    before, after = (float(cell) for cell in row[1].split(" → "))
    assert row[0] == "100 %"
    assert before == pytest.approx(20, abs=3)
    assert float(row[2].removesuffix(" %")) == pytest.approx(100 * (after / before - 1), abs=1)
    shift = (voxels_of(output) - voxels_of(volume)).mean()
    assert float(row[3]) == pytest.approx(shift, abs=0.02)
    assert re.fullmatch(r"\d+\.\d s", row[4])
    assert "RMSE" not in panel.ui.resultLabel.text
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert red.GetBackgroundVolumeID() == output.GetID()


def test_apply_again_with_the_papers_strength_levels_and_noise_map_fills_the_same_volume(panel: Panel, tiny_model: Path) -> None:
    volume = add_ct()
    panel.pick("inputSelector", volume)
    first = panel.denoise()
    worker = panel.worker.client.pid
    assert panel.ui.fullStrengthButton.checked
    panel.ui.naturalStrengthButton.click()
    assert panel.ui.strengthSlider.value == 70
    assert (panel.ui.naturalStrengthButton.checked, panel.ui.fullStrengthButton.checked) == (True, False)
    panel.ui.levelsSpin.value = 1
    panel.want_noise_map()
    second = panel.denoise()
    noise = panel.parameters.noiseMap
    assert [row[0] for row in panel.table[1:]] == ["70 %", "100 %"], "each result keeps its line"
    assert second is first
    assert panel.worker.client.pid == worker
    voxels = voxels_of(volume)
    np.testing.assert_array_equal(voxels_of(second), expected(tiny_model, voxels, levels=1, blend=0.7))
    np.testing.assert_array_equal(voxels_of(noise), voxels - voxels_of(second))
    assert (second.GetAttribute("LDCTDenoise.Strength"), second.GetAttribute("LDCTDenoise.Levels")) == ("0.7", "1")
    assert noise.GetDisplayNode().GetLevel() == 0
    panel.ui.strengthSlider.value = 0
    np.testing.assert_array_equal(voxels_of(panel.denoise()), voxels)
    assert not voxels_of(noise).any()


def test_another_input_gets_a_volume_of_its_own(panel: Panel) -> None:
    first, other = add_ct(name="First"), add_ct(name="Other")
    panel.pick("inputSelector", first)
    denoised = panel.denoise()
    panel.ui.strengthSlider.value = 0
    panel.pick("inputSelector", other)
    assert panel.parameters.outputVolume is None
    assert panel.denoise().GetName() == "Other denoised"
    assert not np.array_equal(voxels_of(denoised), voxels_of(first))
    panel.pick("inputSelector", first)
    panel.pick("outputSelector", denoised)
    assert panel.denoise() is denoised
    np.testing.assert_array_equal(voxels_of(denoised), voxels_of(first))


def test_a_reference_adds_rmse_psnr_and_ssim(panel: Panel) -> None:
    voxels = noisy_slices(2)
    truth = np.full_like(voxels, 40)
    truth[:, :6] = -1000
    volume, reference = add_ct(voxels), add_ct(truth, "Normal dose")
    panel.parameters.model = "default"
    panel.pick("inputSelector", volume)
    panel.pick("referenceSelector", reference)
    panel.denoise()
    told = html.unescape(panel.ui.resultLabel.text)
    rows = {
        name: [float(re.search(rf"{name} ([\d.]+) → ([\d.]+)", told)[side]) for side in (1, 2)]  # type: ignore[index]
        for name in ("RMSE", "PSNR", "SSIM")
    }
    assert rows["RMSE"][1] < rows["RMSE"][0] == pytest.approx(20, rel=0.1)
    assert rows["PSNR"][1] > rows["PSNR"][0] + 1
    assert rows["SSIM"][1] > rows["SSIM"][0]


def test_a_reference_on_another_grid_is_refused(panel: Panel) -> None:
    volume, other = add_ct(), add_ct(name="Elsewhere")
    other.SetOrigin(0, 0, 0)
    panel.pick("inputSelector", volume)
    panel.pick("referenceSelector", other)
    panel.apply()
    assert "Elsewhere lies on another grid" in panel.status
    assert not panel.running


def test_what_does_not_look_like_hu_is_refused_until_it_is_to_be_treated_as_hu(panel: Panel, tiny_model: Path) -> None:
    volume = add_ct(noisy_slices(dtype=np.int32) + 2000)
    panel.pick("inputSelector", volume)
    before = scene_now()
    panel.apply()
    assert "do not look like HU" in panel.wait()
    assert "tick 'Skip the HU check'" in panel.status
    assert "--force" not in panel.status
    assert scene_now() == before
    panel.ui.forceCheck.click()
    np.testing.assert_array_equal(voxels_of(panel.denoise()), expected(tiny_model, voxels_of(volume)))


def test_a_slice_range_is_denoised_and_the_rest_copied(panel: Panel, tiny_model: Path) -> None:
    volume = add_ct()
    panel.pick("inputSelector", volume)
    assert panel.ui.regionInfoLabel.text == "4 slices, 0 to 3, will be denoised."
    panel.pick_text("regionCombo", "Slice range")
    assert (panel.ui.firstSliceSpin.value, panel.ui.lastSliceSpin.value) == (0, 3)
    panel.ui.firstSliceSpin.value = 1
    panel.ui.lastSliceSpin.value = 1
    assert panel.ui.regionInfoLabel.text == "One slice, 1, will be denoised."
    panel.ui.lastSliceSpin.value = 2
    assert panel.ui.regionInfoLabel.text == "2 slices, 1 to 2, will be denoised."
    voxels = voxels_of(volume)
    result = voxels_of(panel.denoise())
    np.testing.assert_array_equal(result, expected(tiny_model, voxels, slices=(1, 3)))
    np.testing.assert_array_equal(result[[0, 3]], voxels[[0, 3]])
    assert panel.parameters.outputVolume.GetAttribute("LDCTDenoise.Slices") == "1:3"
    panel.ui.lastSliceSpin.value = 9
    assert "do not lie within CT, which has the slices 0 to 3" in panel.ui.regionInfoLabel.text
    panel.apply()
    assert "do not lie within CT" in panel.status


def test_the_slices_of_an_roi_are_denoised(panel: Panel, tiny_model: Path) -> None:
    import slicer

    volume = add_ct()
    panel.pick("inputSelector", volume)
    panel.pick_text("regionCombo", "Slices of an ROI")
    assert panel.ui.regionInfoLabel.text == "Choose an ROI, or another region."
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Liver")
    roi.SetSize(10, 10, 5)
    roi.SetCenter(0, 0, -500 + 2 * 2.5)
    panel.pick("roiSelector", roi)
    assert panel.ui.regionInfoLabel.text == "3 slices, 1 to 3, will be denoised."
    np.testing.assert_array_equal(voxels_of(panel.denoise()), expected(tiny_model, voxels_of(volume), slices=(1, 4)))
    roi.SetCenter(0, 0, 900)
    panel.apply()
    assert panel.status == "The ROI Liver covers no slice of CT; move it over the volume."


def test_a_model_file_is_chosen_in_a_file_dialog_and_a_cancelled_dialog_changes_nothing(
    panel: Panel, tmp_path: Path, tiny_model: Path
) -> None:
    model = tmp_path / "Modèle à moi.safetensors"
    shutil.copy(tiny_model, model)
    panel.parameters.model = "default"
    volume = add_ct()
    panel.pick("inputSelector", volume)
    default = read_info(find_model("default"))
    assert default.purpose in panel.ui.modelInfoLabel.text
    assert "Patients in its training" in panel.ui.modelInfoLabel.text
    panel.app.messages.answer("")
    panel.pick_text("modelCombo", "From file...")
    assert panel.parameters.model == "default"
    assert panel.ui.modelCombo.currentText == "default"
    panel.app.messages.answer(str(model))
    panel.pick_text("modelCombo", "From file...")
    assert panel.ui.modelCombo.currentText == model.name
    assert panel.ui.modelInfoLabel.text.startswith("tests")
    assert panel.ui.levelsSpin.maximum == len(read_info(model).levels)
    output = panel.denoise()
    assert output.GetAttribute("LDCTDenoise.ModelHash") == read_info(tiny_model).model_hash
    panel.pick_text("modelCombo", "default")
    assert panel.parameters.model == "default"


def test_a_model_file_that_is_gone_after_reload_is_named(panel: Panel, tmp_path: Path, tiny_model: Path) -> None:
    model = tmp_path / "mine.safetensors"
    shutil.copy(tiny_model, model)
    panel.pick("inputSelector", add_ct())
    panel.parameters.model = str(model)
    panel.app.save_scene(tmp_path / "scene.mrml")
    model.unlink()
    panel.app.load_scene(tmp_path / "scene.mrml")
    assert panel.ui.modelCombo.currentText == "mine.safetensors"
    assert "There is no model" in panel.ui.modelInfoLabel.text
    panel.apply()
    assert "There is no model" in panel.wait()
    assert "mine.safetensors" in panel.status


def test_a_file_that_is_no_model_is_refused(panel: Panel, tmp_path: Path) -> None:
    wrong = tmp_path / "thesis.safetensors"
    wrong.write_text("no model at all")
    panel.pick("inputSelector", add_ct())
    panel.app.messages.answer(str(wrong))
    panel.pick_text("modelCombo", "From file...")
    assert "not a safetensors file" in panel.ui.modelInfoLabel.text
    panel.apply()
    assert "not a safetensors file" in panel.wait()


def test_parameters_are_saved_with_the_scene_and_restored(panel: Panel, tmp_path: Path, tiny_model: Path) -> None:
    import slicer

    volume, reference = add_ct(), add_ct(name="Normal dose")
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Liver")
    panel.pick("inputSelector", volume)
    panel.pick("referenceSelector", reference)
    panel.want_noise_map(add_ct(name="Noise map"))
    panel.ui.levelsSpin.value = 1
    panel.ui.strengthSlider.value = 55
    panel.ui.forceCheck.click()
    panel.pick_text("regionCombo", "Slices of an ROI")
    panel.pick("roiSelector", roi)
    panel.pick_text("regionCombo", "Slice range")
    panel.ui.lastSliceSpin.value = 0
    panel.ui.followCheck.click()
    panel.ui.fadeSlider.value = 40
    panel.pick_text("deviceCombo", "cpu")
    panel.pick_text("precisionCombo", "float32")
    panel.ui.batchSpin.value = 2
    panel.app.save_scene(tmp_path / "scene.mrml")
    panel.app.close_scene()
    assert panel.ui.strengthSlider.value == 100
    assert panel.ui.regionCombo.currentText == "Whole volume"
    assert panel.ui.modelCombo.currentText == "default"
    panel.app.load_scene(tmp_path / "scene.mrml")
    ui = panel.ui
    nodes = (ui.inputSelector, ui.referenceSelector, ui.roiSelector)
    assert [selector.currentNode().GetName() for selector in nodes] == ["CT", "Normal dose", "Liver"]
    assert panel.parameters.noiseMap.GetName() == "Noise map"
    assert ui.noiseMapCheck.checked
    assert ui.outputSelector.currentNode() is None
    assert [combo.currentText for combo in (ui.regionCombo, ui.deviceCombo, ui.precisionCombo)] == [
        "Slice range",
        "cpu",
        "float32",
    ]
    assert (ui.modelCombo.currentText, panel.parameters.model) == (tiny_model.name, str(tiny_model))
    assert (ui.levelsSpin.value, ui.strengthSlider.value, ui.batchSpin.value, ui.fadeSlider.value) == (1, 55, 2, 40)
    assert (ui.firstSliceSpin.value, ui.lastSliceSpin.value) == (0, 0)
    assert ui.forceCheck.checked
    assert ui.followCheck.checked


def test_a_scene_that_names_a_gpu_opens_without_one_and_says_what_to_do(panel: Panel) -> None:
    panel.pick("inputSelector", add_ct())
    panel.parameters.device = "cuda:7"
    assert panel.ui.deviceCombo.currentText == "cuda:7"
    panel.apply()
    assert re.search("CUDA cannot be used|There is no cuda:7", panel.wait())
    panel.pick_text("deviceCombo", "cpu")
    panel.denoise()
    assert panel.ui.deviceInfoLabel.text == "Computed on cpu, as asked."


def test_precision_is_used(panel: Panel, tiny_model: Path) -> None:
    volume = add_ct()
    panel.pick("inputSelector", volume)
    panel.pick_text("precisionCombo", "bfloat16")
    result = voxels_of(panel.denoise())
    np.testing.assert_array_equal(result, expected(tiny_model, voxels_of(volume), precision="bfloat16"))
    # A CPU without bfloat16 takes float32.
    assert np.array_equal(result, expected(tiny_model, voxels_of(volume))) is not has_bfloat16(Backend.OPENVINO)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("labels", "Labels is a label map; choose a CT volume in HU."),
        ("colours", "Colours has 3 values per voxel"),
        ("empty", "Empty is empty: it has no voxels"),
        ("nan", r"NaN or infinity in 1 voxel"),
    ],
)
def test_what_is_no_ct_volume_is_refused_with_a_clear_message(panel: Panel, kind: str, words: str) -> None:
    import slicer

    if kind == "labels":
        node = slicer.util.addVolumeFromArray(
            np.ones((2, 8, 8), np.int16), name="Labels", nodeClassName="vtkMRMLLabelMapVolumeNode"
        )
    elif kind == "colours":
        node = slicer.util.addVolumeFromArray(
            np.zeros((2, 8, 8, 3), np.uint8), name="Colours", nodeClassName="vtkMRMLVectorVolumeNode"
        )
    elif kind == "empty":
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    else:
        voxels = noisy_slices(dtype=np.float32)
        voxels[1, 20, 20] = np.nan
        node = add_ct(voxels)
    offered = panel.ui.inputSelector
    assert (node in [offered.nodeFromIndex(index) for index in range(offered.nodeCount())]) == (kind in ("empty", "nan"))
    panel.parameters.inputVolume = node  # as a script or an old scene may do
    before = scene_now()
    panel.apply()
    assert re.search(words, panel.wait()), panel.status
    assert scene_now() == before


def test_input_and_output_cannot_be_one_volume(panel: Panel) -> None:
    volume = add_ct()
    panel.pick("inputSelector", volume)
    panel.pick("outputSelector", volume)
    before = scene_now()
    panel.apply()
    assert "The output is the input itself" in panel.status
    panel.pick("outputSelector", None)
    panel.want_noise_map(volume)
    panel.apply()
    assert "The noise map is the input itself" in panel.status
    other = add_ct(name="Other")
    panel.pick("outputSelector", other)
    panel.want_noise_map(other)
    panel.apply()
    assert "Output and noise map are the same volume" in panel.status
    panel.app.process_events()
    assert {name: scene_now()[name] for name in before if "Parameter" not in name} == before


def test_all_frames_of_a_4d_ct_are_offered_only_for_one_and_shown_when_done(panel: Panel, tiny_model: Path) -> None:
    import slicer

    frames = [noisy_slices(2), noisy_slices(2) + 10]
    browser, shown = add_sequence(frames, ["0", "50"])
    panel.pick("inputSelector", add_ct())
    assert not panel.ui.allFramesCheck.enabled
    panel.pick("inputSelector", shown)
    assert panel.ui.allFramesCheck.enabled
    panel.ui.allFramesCheck.click()
    panel.apply()
    assert panel.wait().startswith("Done: ")
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    output = slicer.mrmlScene.GetNodeByID(red.GetBackgroundVolumeID())
    sequence = browser.GetSequenceNode(output)
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(voxels_of(sequence.GetNthDataNode(index)), expected(tiny_model, frame))
    assert panel.parameters.outputVolume is None  # the next Apply makes another sequence
    panel.want_noise_map()
    panel.apply()
    assert "one frame only" in panel.status
    panel.ui.noiseMapCheck.checked = False
    panel.pick("inputSelector", add_ct(name="Ordinary"))
    assert panel.denoise().GetName() == "Ordinary denoised", "the tick is for the next 4D CT"
    panel.pick("inputSelector", shown)
    assert panel.ui.allFramesCheck.checked


@pytest.mark.parametrize("chosen", ["by the user", "by itself"])
def test_a_result_whose_input_is_gone_is_not_overwritten_by_the_next_patients(panel: Panel, chosen: str) -> None:
    import slicer

    first = add_ct(name="First")
    panel.pick("inputSelector", first)
    output = panel.denoise()
    kept = voxels_of(output)
    slicer.mrmlScene.RemoveNode(first)
    panel.app.process_events(0.1)
    second = add_ct(noisy_slices() + np.int16(7), "Second")
    if chosen == "by the user":
        panel.pick("inputSelector", second)
    panel.wait_for(lambda: panel.parameters.inputVolume is second, "the choice")
    assert panel.denoise().GetName() == "Second denoised"
    assert np.array_equal(voxels_of(output), kept)


@pytest.mark.parametrize("region", ["range", "roi"])
def test_an_empty_volume_is_said_whatever_the_region(panel: Panel, region: str) -> None:
    import slicer

    panel.parameters.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Hollow")
    panel.parameters.roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    panel.parameters.region = region
    panel.apply()
    assert "Hollow is empty" in panel.status
    assert "Hollow is empty" in panel.ui.regionInfoLabel.text.replace("\u200b", "")
