"""What failed in the real application (Slicer 5.12.3), each on the stand-in that behaves as the application did."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.errors import DenoisingCancelled, InputError
from Testing.slicer.slicer_panel import MODULE, Panel, Traces, add_ct, add_sequence, noisy_slices, scroll_red_view, voxels_of

if TYPE_CHECKING:
    from Testing.slicer_standin.application import Application


@pytest.fixture
def panel(warm_panel: Panel) -> Panel:
    return warm_panel


def manager() -> Any:
    import slicer

    return slicer.app.layoutManager()


def node_of(view: str) -> Any:
    return manager().sliceWidget(view).mrmlSliceNode()


def looked_at(index: int = 1, name: str = "CT") -> Any:
    """A CT in all views, the Red one at one of its slices and zoomed in."""
    import slicer

    volume = add_ct(name=name)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    scroll_red_view(volume, index)
    columns, rows, _ = node_of("Red").GetDimensions()
    node_of("Red").SetFieldOfView(20, 20 * rows / columns, 1)
    return volume


# 1: side by side


def test_side_by_side_opens_where_the_user_is_and_leaves_the_users_view_alone(panel: Panel) -> None:
    volume = looked_at(3)
    panel.pick("inputSelector", volume)
    panel.denoise()
    panel.app.process_events()
    offset, field = node_of("Red").GetSliceOffset(), node_of("Red").GetFieldOfView()
    panel.ui.compareButton.click()
    panel.app.process_events(0.05)
    for view in ("LDCTInput", "LDCTOutput"):
        assert node_of(view).GetSliceOffset() == pytest.approx(offset)
        assert min(node_of(view).GetFieldOfView()[:2]) == pytest.approx(min(field[:2]))
        assert np.isfinite(node_of(view).GetFieldOfView()).all()
    assert (node_of("Red").GetSliceOffset(), node_of("Red").GetFieldOfView()) == (offset, field)
    logic = manager().sliceWidget("LDCTInput").sliceLogic()
    logic.StartSliceOffsetInteraction()
    node_of("LDCTInput").SetSliceOffset(offset - 2.5)
    logic.EndSliceOffsetInteraction()
    assert node_of("LDCTOutput").GetSliceOffset() == pytest.approx(offset - 2.5)
    assert node_of("Red").GetSliceOffset() == offset


def test_side_by_side_is_offered_after_a_scene_is_loaded(panel: Panel, tmp_path: Path) -> None:
    panel.pick("inputSelector", add_ct())
    panel.denoise()
    panel.app.save_scene(tmp_path / "scene.mrml")
    panel.app.load_scene(tmp_path / "scene.mrml")
    assert panel.ui.compareButton.enabled
    panel.ui.compareButton.click()
    assert manager().sliceWidget("LDCTOutput").visible


# 2: quitting


@pytest.mark.parametrize("what", ["process", "phantom"])
def test_quitting_the_application_ends_a_waiting_call(
    traces: Traces, slicer_app: Application, tiny_model: Path, what: str
) -> None:
    import slicer

    module = slicer_app.load_module(MODULE, panel=False).python_module
    logic = module.LDCTDenoiseLogic()
    volume = add_ct(noisy_slices(700, 64), "Long")
    ended: list[Any] = []

    def call() -> None:
        try:
            if what == "process":
                logic.process(volume, None, model=tiny_model, batchSize=1)
            else:
                logic.loadPhantom()
        except DenoisingCancelled as error:
            ended.append(error)

    start = time.monotonic()
    slicer_app.run_main_loop(call, 1.0)
    assert ended, "the call came to its own end"
    assert time.monotonic() - start < 5
    assert [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")] == ["Long"]


# 3: texts


def test_texts_are_whole_after_the_module_was_left_and_entered(panel: Panel) -> None:
    panel.parameters.model = "default"
    panel.outer.resize(350, 1600)
    panel.app.process_events(0.05)
    panel.outer.exit()
    panel.outer.enter()
    volume = add_ct(name="3: Abdomen portal venous 1.0 mm B30f, a name as scanners give it")
    panel.pick("inputSelector", volume)
    panel.pick("outputSelector", volume)
    panel.apply()
    assert "choose another volume, so that nothing is lost" in panel.status
    panel.app.process_events(0.05)
    short = {
        name: (label.height, label.heightForWidth(label.width))
        for name, label in vars(panel.ui).items()
        if type(label).__name__ == "QLabel" and label.wordWrap and label.visible
        if label.height < label.heightForWidth(label.width)
    }
    assert short == {}


# 4: ROI


def test_the_line_below_an_roi_follows_it(panel: Panel) -> None:
    import slicer

    panel.pick("inputSelector", add_ct())
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Liver")
    roi.SetSize(10, 10, 5)
    roi.SetCenter(0, 0, -500 + 2 * 2.5)
    panel.pick_text("regionCombo", "Slices of an ROI")
    panel.pick("roiSelector", roi)
    assert panel.ui.regionInfoLabel.text.startswith("3 slices, 1 to 3")
    roi.SetCenter(0, 0, -500)
    assert panel.ui.regionInfoLabel.text.startswith("2 slices, 0 to 1")
    roi.SetSize(10, 10, 1)
    assert panel.ui.regionInfoLabel.text.startswith("One slice, 0,")
    up = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Up")
    roi.SetAndObserveTransformNodeID(up.GetID())
    matrix = np.eye(4)
    matrix[2, 3] = 2.5
    up.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    assert panel.ui.regionInfoLabel.text.startswith("One slice, 1,")


# 5: window and level


def window_of(node: Any) -> tuple[float, float]:
    return node.GetDisplayNode().GetWindow(), node.GetDisplayNode().GetLevel()


def test_input_output_and_preview_have_one_window_and_the_noise_map_its_own(panel: Panel) -> None:
    import slicer

    volume = looked_at()
    panel.pick("inputSelector", volume)
    panel.want_noise_map()
    output = panel.denoise()
    noise = panel.parameters.noiseMap
    volume.GetDisplayNode().SetWindowLevel(1500, -600)
    assert window_of(output) == (1500, -600)
    output.GetDisplayNode().SetWindowLevel(200, 60)
    assert window_of(volume) == (200, 60)
    own = window_of(noise)
    removed = voxels_of(noise)[voxels_of(volume) > -500].astype(float)
    assert own == (pytest.approx(6 * removed[removed != 0].std(), rel=1e-6), 0)
    noise.GetDisplayNode().SetWindowLevel(7, 0)
    assert window_of(volume) == (200, 60)
    panel.ui.previewButton.click()
    panel.wait_for(lambda: panel.ui.previewInfoLabel.text.startswith("Slice"), "the preview")
    composite = manager().sliceWidget("Red").mrmlSliceCompositeNode()
    shown = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID())
    assert window_of(shown) == (200, 60)
    shown.GetDisplayNode().SetWindowLevel(90, 10)
    assert window_of(volume) == window_of(output) == (90, 10)
    output.GetDisplayNode().SetWindowLevel(80, 20)
    assert window_of(shown) == (80, 20)


# 6: errors


def test_the_chest_without_a_network_says_so(panel: Panel) -> None:
    import slicer

    (source,) = [s for s in slicer.modules.sampleDataSources["LDCT Denoise"] if s.sampleName.startswith("CTChest")]
    assert source.customDownloader(source) is None
    assert panel.app.messages[-1].title == "LDCT Denoise"
    assert panel.app.messages.texts("error") == [
        "CTChest could not be downloaded; check the network connection, or load a CT of your own."
    ]


@pytest.mark.parametrize(
    ("button", "broken"),
    [
        ("applyButton", "startRun"),
        ("previewButton", "newPreview"),
        ("exportButton", "startExport"),
        ("checkButton", "startDeviceReport"),
        ("installButton", "installPyTorch"),
    ],
)
def test_whatever_a_button_raises_is_said_in_the_panel(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, button: str, broken: str
) -> None:
    def fail(*_args: Any, **_keywords: Any) -> None:
        raise IndexError("list index out of range")

    volume = looked_at()
    panel.pick("inputSelector", volume)
    if button == "exportButton":
        panel.pick("outputSelector", add_ct(name="Output"))
        panel.app.messages.answer(str(tmp_path))
    monkeypatch.setattr(panel.widget.logic, broken, fail)
    getattr(panel.ui, button).click()
    texts = [getattr(panel.ui, name).text for name in ("statusLabel", "previewInfoLabel", "exportInfoLabel", "torchInfoLabel")]
    assert sum("IndexError: list index out of range" in text for text in texts) == 1
    assert panel.app.exceptions == []


# 7: preview


def test_the_preview_takes_the_axial_view_that_is_on_the_screen(panel: Panel, tiny_model: Path) -> None:
    import slicer

    volume = looked_at()
    panel.pick("inputSelector", volume)
    manager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpGreenSliceView)
    panel.app.process_events()
    node_of("Green").SetOrientation("Coronal")
    panel.ui.previewButton.click()
    assert panel.ui.previewInfoLabel.text.startswith("The Green view does not show the volume's axial slices")
    node_of("Green").SetOrientationToAxial()
    node_of("Green").SetSliceOffset(-500 + 2 * 2.5)
    panel.ui.previewButton.click()
    panel.wait_for(lambda: panel.ui.previewInfoLabel.text.startswith("Slice 2, "), "the preview")
    composite = manager().sliceWidget("Green").mrmlSliceCompositeNode()
    shown = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID())
    np.testing.assert_array_equal(voxels_of(shown), Denoiser(tiny_model, "cpu")(voxels_of(volume)[2:3]))
    assert manager().sliceWidget("Red").mrmlSliceCompositeNode().GetForegroundVolumeID() is None
    panel.ui.previewButton.click()
    assert composite.GetForegroundVolumeID() is None


def test_the_preview_says_when_no_slice_view_is_on_the_screen(panel: Panel) -> None:
    import slicer

    panel.pick("inputSelector", looked_at())
    manager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView)
    panel.ui.previewButton.click()
    assert panel.ui.previewInfoLabel.text == "No slice view is on the screen; choose a layout that has one."


def test_the_preview_follows_strength_and_levels(panel: Panel, tiny_model: Path) -> None:
    import slicer

    volume = looked_at()
    panel.pick("inputSelector", volume)
    panel.ui.previewButton.click()
    panel.wait_for(lambda: panel.ui.previewInfoLabel.text.startswith("Slice 1, "), "the preview")
    composite = manager().sliceWidget("Red").mrmlSliceCompositeNode()

    def shows(**options: Any) -> bool:
        expected = Denoiser(tiny_model, "cpu", **options)(voxels_of(volume)[1:2])
        shown = slicer.mrmlScene.GetNodeByID(composite.GetForegroundVolumeID())
        return np.array_equal(voxels_of(shown), expected)

    panel.ui.strengthSlider.value = 30
    panel.wait_for(lambda: shows(blend=0.3), "the preview at 30 %")
    panel.ui.levelsSpin.value = 1
    panel.wait_for(lambda: shows(blend=0.3, levels=1), "the preview of the first level")


def test_scrolling_past_the_end_leaves_the_preview_on(panel: Panel) -> None:
    volume = looked_at()
    panel.pick("inputSelector", volume)
    panel.ui.followCheck.click()
    panel.ui.previewButton.click()
    panel.wait_for(lambda: panel.ui.previewInfoLabel.text.startswith("Slice 1, "), "the preview")
    for index in (2, 3, 5, 9, 30):
        scroll_red_view(volume, index)
        panel.app.process_events(0.03)
    panel.wait_for(lambda: "outside the volume" in panel.ui.previewInfoLabel.text, "the sentence")
    assert panel.ui.previewButton.checked
    scroll_red_view(volume, 2)
    panel.wait_for(lambda: panel.ui.previewInfoLabel.text.startswith("Slice 2, "), "the preview")


# 8: the input


def test_no_result_becomes_the_input_by_itself(panel: Panel, tmp_path: Path) -> None:
    import slicer

    volume = looked_at()
    panel.pick("inputSelector", volume)
    panel.want_noise_map()
    panel.denoise()
    slicer.mrmlScene.RemoveNode(volume)
    assert panel.parameters.inputVolume is None
    assert not panel.ui.applyButton.enabled
    panel.outer.exit()
    panel.outer.enter()
    assert panel.parameters.inputVolume is None
    panel.app.save_scene(tmp_path / "scene.mrml")
    panel.app.load_scene(tmp_path / "scene.mrml")
    assert panel.parameters.inputVolume is None
    later = add_ct(name="Loaded later")
    panel.wait_for(lambda: panel.parameters.inputVolume is later, "the choice")


def test_the_volume_in_the_red_view_is_taken_on_entry(panel: Panel) -> None:
    panel.outer.exit()
    add_ct(name="First")
    second = looked_at(name="Second")
    panel.outer.enter()
    assert panel.parameters.inputVolume is second


# 10: small things


def test_a_sequences_output_has_the_inputs_name(panel: Panel) -> None:
    import slicer

    browser, shown = add_sequence([noisy_slices(2), noisy_slices(2)], ["0", "50"])
    panel.pick("inputSelector", shown)
    panel.ui.allFramesCheck.click()
    panel.apply()
    assert panel.wait() == f"Done: {shown.GetName()} denoised, on cpu."
    output = slicer.util.getNode(f"{shown.GetName()} denoised")
    assert browser.GetSequenceNode(output).GetName() == output.GetName()


def test_process_takes_names_and_says_which_one_is_wrong(logic: Any, tiny_model: Path) -> None:
    volume = add_ct()
    assert logic.process("CT", None, model=tiny_model)["input"] is volume
    with pytest.raises(InputError, match="There is no volume named 'MR' in the scene"):
        logic.process("MR", None, model=tiny_model)


def test_there_is_no_negative_zero(panel: Panel) -> None:
    table = sys.modules["LDCTDenoiseModuleLib.resultTable"].ResultTable()
    figures = {"noise_before": 20.0, "noise_after": 10.0, "mean_shift": -0.001}
    table.add({"comparison": figures, "seconds": 1.0, "device": "cpu"}, 0.7)
    assert "+0.00" in table.text()
    assert "-0.00" not in table.text()


def test_an_error_goes_when_something_else_is_chosen(panel: Panel) -> None:
    volume = add_ct()
    panel.pick("inputSelector", volume)
    panel.pick("outputSelector", volume)
    panel.apply()
    assert "The output is the input itself" in panel.status
    panel.pick("outputSelector", None)
    assert panel.status == ""


def test_a_range_in_the_wrong_order_says_so(panel: Panel) -> None:
    panel.pick("inputSelector", add_ct())
    panel.pick_text("regionCombo", "Slice range")
    panel.ui.firstSliceSpin.value = 3
    panel.ui.lastSliceSpin.value = 1
    assert panel.ui.regionInfoLabel.text == "The first slice, 3, comes after the last, 1; exchange them."


def test_a_model_that_is_gone_leaves_the_list(panel: Panel, tmp_path: Path, tiny_model: Path) -> None:
    model = tmp_path / "mine.safetensors"
    model.write_bytes(tiny_model.read_bytes())
    panel.parameters.model = str(model)
    assert panel.ui.modelCombo.findText("mine.safetensors") >= 0
    model.unlink()
    panel.pick_text("modelCombo", "default")
    assert panel.ui.modelCombo.findText("mine.safetensors") < 0


def test_questions_and_file_dialogs_name_the_module(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.app.set_version(5, 10)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    panel.pick("inputSelector", add_ct())
    panel.app.messages.answer(False)
    panel.apply()
    panel.app.messages.answer("")
    panel.pick_text("modelCombo", "From file...")
    assert [message.kind for message in panel.app.messages] == ["question", "file"]
    assert all("LDCT Denoise" in f"{message.title} {message.text}" for message in panel.app.messages)
    assert panel.app.messages[0].title == "LDCT Denoise"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX priorities")
def test_the_worker_takes_its_usual_priority_back_where_it_may() -> None:
    code = (
        "import os; os.nice(19); from LDCTDenoiseLib.system.priority import restore_priority; restore_priority(); "
        "print(os.getpriority(os.PRIO_PROCESS, 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0" if os.geteuid() == 0 else "19"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX priorities")
def test_on_a_busy_machine_the_panel_says_that_others_go_first(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpriority", lambda *_args: 19)
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 1000.0, 1000.0))
    panel.start_long_run(200)
    assert "The machine is busy" in panel.status
    panel.ui.cancelButton.click()
    panel.wait()
