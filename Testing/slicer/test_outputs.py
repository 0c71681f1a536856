"""The volumes that come out: right voxels of the right type, the input's place and look, and a record of their making."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.models.model_info import read_info
from LDCTDenoiseLib.version import __version__
from Testing.slicer.slicer_panel import add_ct, add_sequence, noisy_slices, voxels_of

RECORD = "LDCTDenoise."


def matrix_of(node: Any) -> np.ndarray:
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def new_volume(name: str = "Result") -> Any:
    import slicer

    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "int32", "uint8", "float32", "float64"])
def test_the_scalar_type_is_kept_and_the_voxels_are_the_engines(logic: Any, tiny_model: Path, dtype: str) -> None:
    offset = 0 if np.dtype(dtype).kind in "if" else 1050 if dtype == "uint16" else 100
    voxels = (noisy_slices(dtype=np.int32).clip(-1000 if dtype != "uint8" else -100) + offset).astype(dtype)
    if np.dtype(dtype).kind == "f":
        voxels += 0.25
    volume = add_ct(voxels)
    result = logic.process(volume, None, model=str(tiny_model), force=bool(offset), noiseMap="new", device="cpu")
    output, noise = result["output"], result["noiseMap"]
    assert output.GetImageData().GetScalarType() == volume.GetImageData().GetScalarType()
    np.testing.assert_array_equal(voxels_of(output), Denoiser(tiny_model, "cpu")(voxels))
    np.testing.assert_array_equal(voxels_of(noise), voxels.astype(np.float64) - voxels_of(output))
    assert np.issubdtype(voxels_of(noise).dtype, np.signedinteger) or voxels.dtype.kind == "f"
    np.testing.assert_array_equal(voxels_of(volume), voxels)


def turned(axes: str) -> np.ndarray:
    """Directions of I, J and K, each along R, A or S (small: against it), turned a little out of the patient's axes."""
    units = {
        letter: sign * np.eye(3)[index] for sign, letters in ((1, "RAS"), (-1, "ras")) for index, letter in enumerate(letters)
    }
    directions = np.stack([units[letter] for letter in axes], axis=1)
    a, b = np.radians((12, -7))
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return about_x @ about_z @ directions


@pytest.mark.parametrize(("axes", "axial"), [("raS", 0), ("asR", 1), ("Sra", 2)])
def test_axial_slices_are_denoised_however_the_volume_is_stored(logic: Any, tiny_model: Path, axes: str, axial: int) -> None:
    voxels = np.ascontiguousarray(np.moveaxis(noisy_slices(3), 0, axial))
    volume = add_ct(voxels)
    volume.SetIJKToRASDirections(*turned(axes).ravel())
    output = logic.process(volume, None, model=str(tiny_model), slices=(1, 3))["output"]
    slices = np.ascontiguousarray(np.moveaxis(voxels, axial, 0))
    denoised = Denoiser(tiny_model, "cpu")(slices, slices=(1, 3))
    np.testing.assert_array_equal(voxels_of(output), np.moveaxis(denoised, 0, axial))
    np.testing.assert_array_equal(matrix_of(output), matrix_of(volume))


def test_geometry_transform_display_and_study_are_the_inputs(logic: Any, tiny_model: Path) -> None:
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "Patient")
    study = hierarchy.CreateStudyItem(patient, "Study")
    tilt = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "Acquisition transform")
    volume = add_ct()
    volume.SetIJKToRASDirections(*turned("raS").ravel())
    volume.SetAndObserveTransformNodeID(tilt.GetID())
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volume), study)
    display = volume.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeRainbow")
    display.SetInterpolate(False)
    existing = new_volume()
    result = logic.process(volume, existing, model=str(tiny_model), noiseMap="new")
    assert result["output"] is existing
    noise = voxels_of(result["noiseMap"])[voxels_of(volume) > -500].astype(float)
    for node, window, level in ((existing, 350, 40), (result["noiseMap"], 6 * noise[noise != 0].std(), 0)):
        np.testing.assert_array_equal(matrix_of(node), matrix_of(volume))
        assert node.GetParentTransformNode() is tilt
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == study
        shown = node.GetDisplayNode()
        assert (shown.GetWindow(), shown.GetLevel(), bool(shown.GetAutoWindowLevel())) == (pytest.approx(window), level, False)
        assert shown.GetColorNodeID() == "vtkMRMLColorTableNodeRainbow"
        assert not shown.GetInterpolate()
    assert display.GetLevel() == 40


def test_the_output_tells_how_it_was_made(logic: Any, tiny_model: Path) -> None:
    volume = add_ct(name="Bauch 1 mm")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    output = logic.process(volume, None, model=str(tiny_model), blend=0.7, levels=1, slices=(1, 4), precision="bfloat16")[
        "output"
    ]
    info = read_info(tiny_model)
    told = {
        name.removeprefix(RECORD): output.GetAttribute(name) for name in output.GetAttributeNames() if name.startswith(RECORD)
    }
    assert told == {
        "Model": "tiny",
        "ModelHash": info.model_hash,
        "Strength": "0.7",
        "Levels": "1",
        "Device": "cpu",
        "Precision": "bfloat16",
        "SoftwareVersion": __version__,
        "SourceName": "Bauch 1 mm",
        "Slices": "1:4",
        "SourceInstanceUIDs": "1.2.3 1.2.4",
    }
    assert output.GetNodeReference("LDCTDenoise.Source") is volume


def test_a_result_of_other_files_does_not_keep_their_uids(logic: Any, tiny_model: Path) -> None:
    loaded, made = add_ct(name="Loaded"), add_ct(name="Made")
    loaded.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    output = logic.process(loaded, None, model=str(tiny_model))["output"]
    logic.process(made, output, model=str(tiny_model))
    assert output.GetAttribute(RECORD + "SourceInstanceUIDs") is None
    assert output.GetAttribute(RECORD + "SourceName") == "Made"


def test_new_volumes_get_names_of_their_own(logic: Any, tiny_model: Path) -> None:
    volume = add_ct()
    names = [logic.process(volume, None, model=str(tiny_model), noiseMap="new") for _ in range(2)]
    assert [result["output"].GetName() for result in names] == ["CT denoised", "CT denoised_1"]
    assert [result["noiseMap"].GetName() for result in names] == ["CT noise map", "CT noise map_1"]


def test_old_voxels_of_an_existing_output_stay_until_the_new_ones_are_complete(
    logic: Any, tiny_model: Path, slicer_app: Any
) -> None:
    volume, output = add_ct(noisy_slices(8)), add_ct(np.full((2, 5, 5), 7, np.int32), "Old")
    old, image, seen, changes = voxels_of(output), output.GetImageData(), [], []
    output.AddObserver("ModifiedEvent", lambda *_: changes.append(output.GetImageData()))

    def progress(done: int, total: int) -> None:
        seen.append(output.GetImageData() is image and np.array_equal(voxels_of(output), old))

    run = logic.startProcess(volume, output, model=str(tiny_model), batchSize=1, onProgress=progress)
    slicer_app.wait_until(lambda: not run.running, 60, "the end of the run")
    assert seen == [True] * 8
    assert voxels_of(output).shape == (8, 48, 48)
    assert output.GetImageData() is not image
    assert all(changed is output.GetImageData() for changed in changes), "half-written states were shown"


def test_the_input_is_never_the_output(logic: Any, tiny_model: Path) -> None:
    from LDCTDenoiseLib.errors import InputError

    volume = add_ct()
    with pytest.raises(InputError, match="is the input itself"):
        logic.process(volume, volume, model=str(tiny_model))
    with pytest.raises(InputError, match="is the input itself"):
        logic.process(volume, None, model=str(tiny_model), noiseMap=volume)


@pytest.mark.parametrize("kind", ["vtkMRMLLabelMapVolumeNode", "vtkMRMLVectorVolumeNode", "vtkMRMLModelNode"])
def test_only_scalar_volumes_take_a_result(logic: Any, tiny_model: Path, kind: str) -> None:
    import slicer

    from LDCTDenoiseLib.errors import InputError

    with pytest.raises(InputError, match="must be a scalar volume"):
        logic.process(add_ct(), slicer.mrmlScene.AddNewNodeByClass(kind, "Other"), model=str(tiny_model))


def add_roi(centre: tuple[float, float, float], size: tuple[float, float, float]) -> Any:
    import slicer

    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "ROI")
    roi.SetCenter(*centre)
    roi.SetSize(*size)
    return roi


def slices_of_roi(logic: Any, roi: Any, volume: Any) -> tuple[int, int]:
    """As the panel reads them."""
    import sys

    return sys.modules["LDCTDenoiseModuleLib.sliceRange"].slicesOfROI(roi, volume)


def transform(matrix: np.ndarray) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def about_right(degrees: float, shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0, shift[0]], [0, c, -s, shift[1]], [0, s, c, shift[2]], [0, 0, 0, 1]])


def test_an_roi_covers_slices_whatever_way_it_and_the_volume_are_turned(logic: Any) -> None:
    volume = add_ct(noisy_slices(40))  # slices at S = -500, -497.5, ..., -402.5
    roi = add_roi((0, 0, -450), (30, 4, 20))
    assert slices_of_roi(logic, roi, volume) == (16, 25)  # S from -460 to -440

    # A box 30 by 4 by 20 mm turned by a quarter about R: now 4 mm high.
    turned_roi = add_roi((0, 0, 0), (30, 4, 20))
    turned_roi.SetAndObserveTransformNodeID(transform(about_right(90, (0, 0, -450))).GetID())
    assert slices_of_roi(logic, turned_roi, volume) == (20, 21)  # S from -452 to -448

    # The volume moved up by 100 mm takes the slices along.
    volume.SetAndObserveTransformNodeID(transform(about_right(0, (0, 0, 100))).GetID())
    assert slices_of_roi(logic, add_roi((0, 0, -350), (30, 4, 20)), volume) == (16, 25)

    # A volume tilted by 30 degrees, and an ROI tilted with it.
    tilt = transform(about_right(30))
    volume.SetAndObserveTransformNodeID(tilt.GetID())
    roi.SetAndObserveTransformNodeID(tilt.GetID())
    assert slices_of_roi(logic, roi, volume) == (16, 25)


def test_an_roi_covers_slices_of_a_sagittally_stored_volume(logic: Any, tiny_model: Path) -> None:
    voxels = np.ascontiguousarray(np.moveaxis(noisy_slices(10), 0, 1))
    volume = add_ct(voxels)
    volume.SetIJKToRASDirections(*np.stack([(0, -1, 0), (0, 0, -1), (1, 0, 0)], axis=1).ravel())
    volume.SetSpacing(0.8, 2.5, 0.7)  # J runs from S = -500 downwards in steps of 2.5 mm
    chosen = slices_of_roi(logic, add_roi((0, 0, -507.5), (30, 30, 5)), volume)
    assert chosen == (2, 5)
    output = logic.process(volume, None, model=str(tiny_model), slices=chosen)["output"]
    changed = (voxels_of(output) != voxels).any(axis=(0, 2))
    assert list(np.flatnonzero(changed)) == [2, 3, 4]


FRAMES = [noisy_slices(2), noisy_slices(2) + 10, noisy_slices(2) + 20]


def test_all_frames_of_a_sequence_become_a_new_sequence(logic: Any, tiny_model: Path, slicer_app: Any) -> None:
    import slicer

    browser, shown = add_sequence(FRAMES, ["0", "50", "90"])
    browser.SetSelectedItemNumber(1)
    moved = transform(about_right(0, (1, 2, 3)))
    shown.SetAndObserveTransformNodeID(moved.GetID())
    shown.GetDisplayNode().SetAutoWindowLevel(False)
    shown.GetDisplayNode().SetWindowLevel(300, 20)
    seen: list[tuple[int, int]] = []
    finished: list[dict] = []
    run = logic.startProcess(
        shown, None, model=str(tiny_model), allFrames=True, batchSize=1, onProgress=lambda *done: seen.append(done),
        onFinished=finished.append,
    )  # fmt: skip
    slicer_app.wait_until(lambda: not run.running, 60, "the end of the run")
    result = finished[0]
    assert seen == [(done, 6) for done in range(1, 7)]
    assert result["frames"] == 3
    output = result["output"]
    sequence = browser.GetSequenceNode(output)
    assert sequence is not browser.GetSequenceNode(shown)
    assert (sequence.GetIndexName(), sequence.GetIndexUnit()) == ("phase", "%")
    assert [sequence.GetNthIndexValue(index) for index in range(3)] == ["0", "50", "90"]
    denoiser = Denoiser(tiny_model, "cpu", batch_size=1)
    for index, frame in enumerate(FRAMES):
        np.testing.assert_array_equal(voxels_of(sequence.GetNthDataNode(index)), denoiser(frame))
        np.testing.assert_array_equal(matrix_of(sequence.GetNthDataNode(index)), matrix_of(shown))
    np.testing.assert_array_equal(voxels_of(output), denoiser(FRAMES[1]))
    browser.SetSelectedItemNumber(2)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    np.testing.assert_array_equal(voxels_of(output), denoiser(FRAMES[2]))
    assert output.GetAttribute(RECORD + "Model") == "tiny"
    assert output.GetNodeReference("LDCTDenoise.Source") is shown
    assert output.GetParentTransformNode() is moved
    assert (output.GetDisplayNode().GetWindow(), output.GetDisplayNode().GetLevel()) == (300, 20)


def test_the_shown_frame_alone_becomes_a_volume(logic: Any, tiny_model: Path) -> None:
    browser, shown = add_sequence(FRAMES, ["0", "50", "90"])
    output = logic.process(shown, None, model=str(tiny_model))["output"]
    np.testing.assert_array_equal(voxels_of(output), Denoiser(tiny_model, "cpu")(FRAMES[0]))
    assert browser.GetSequenceNode(output) is None


def test_a_sequence_run_is_refused_where_it_makes_no_sense(logic: Any, tiny_model: Path) -> None:
    from LDCTDenoiseLib.errors import InputError

    with pytest.raises(InputError, match="is not shown by a sequence"):
        logic.process(add_ct(), None, model=str(tiny_model), allFrames=True)
    _browser, shown = add_sequence(FRAMES, ["0", "50", "90"])
    with pytest.raises(InputError, match="one frame only"):
        logic.process(shown, None, model=str(tiny_model), allFrames=True, noiseMap="new")


@pytest.mark.parametrize("gone", ["browser", "sequence", "proxy"])
def test_a_sequence_that_is_deleted_during_its_run_ends_it(logic: Any, tiny_model: Path, slicer_app: Any, gone: str) -> None:
    import slicer

    from LDCTDenoiseLib.errors import InputError

    browser, shown = add_sequence(FRAMES, ["0", "50", "90"])
    victim = {"browser": browser, "sequence": browser.GetSequenceNode(shown), "proxy": shown}[gone]
    failed: list[Exception] = []
    run = logic.startProcess(
        shown, None, model=str(tiny_model), allFrames=True, batchSize=1, onFailed=failed.append,
        onProgress=lambda done, total: done == 3 and slicer.mrmlScene.RemoveNode(victim),
    )  # fmt: skip
    slicer_app.wait_until(lambda: not run.running, 60, "the end of the run")
    assert isinstance(failed[0], InputError), failed
    assert "deleted while it was going on" in str(failed[0])
    assert len(slicer.util.getNodesByClass("vtkMRMLSequenceNode")) == (0 if gone == "sequence" else 1)


def test_a_result_is_of_the_input_as_it_was_read(logic: Any, tiny_model: Path, slicer_app: Any) -> None:
    import slicer

    volume = add_ct()
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")

    def crop(done: int, _total: int) -> None:
        """In place, as Crop Volume does it where output and input are one; and other files' voxels."""
        if done == 1:
            slicer.util.updateVolumeFromArray(volume, voxels_of(volume)[1:3, 20:, 10:])
            volume.SetOrigin(13, 14, -497.5)
            volume.SetAttribute("DICOM.instanceUIDs", "9.9.9")

    run = logic.startProcess(volume, None, model=str(tiny_model), batchSize=1, onProgress=crop)
    slicer_app.wait_until(lambda: not run.running, 60, "the end of the run")
    output = slicer.util.getNode("CT denoised")
    assert voxels_of(output).shape == noisy_slices().shape
    assert output.GetOrigin() == (20, 30, -500)
    assert output.GetAttribute(RECORD + "SourceInstanceUIDs") == "1.2.3"


def test_each_frame_of_a_result_names_its_own_files(logic: Any, tiny_model: Path) -> None:
    import slicer

    browser, shown = add_sequence(FRAMES, ["0", "50", "90"])
    sequence = browser.GetSequenceNode(shown)
    for index in range(3):
        sequence.GetNthDataNode(index).SetAttribute("DICOM.instanceUIDs", f"1.2.{index}")
    output = logic.process(shown, None, model=str(tiny_model), allFrames=True)["output"]
    for index in range(3):
        browser.SetSelectedItemNumber(index)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        assert output.GetAttribute(RECORD + "SourceInstanceUIDs") == f"1.2.{index}"


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("frames", [False, True])
def test_a_result_lies_where_the_voxels_lay_when_a_transform_is_hardened_meanwhile(
    logic: Any, tiny_model: Path, slicer_app: Any, frames: bool, deleted: bool
) -> None:
    import slicer

    volume = add_sequence(FRAMES, ["0", "50", "90"])[1] if frames else add_ct()
    outer = transform(about_right(90))
    moved = transform(about_right(0, (1, 2, 3)))
    moved.SetAndObserveTransformNodeID(outer.GetID())
    volume.SetAndObserveTransformNodeID(moved.GetID())
    before = about_right(90) @ about_right(0, (1, 2, 3)) @ matrix_of(volume)

    def harden(done: int, _total: int) -> None:
        if done == 1:
            volume.HardenTransform()
            if deleted:
                slicer.mrmlScene.RemoveNode(moved)

    results: list[dict] = []
    run = logic.startProcess(
        volume, None, model=str(tiny_model), batchSize=1, onProgress=harden, onFinished=results.append, allFrames=frames,
        noiseMap=None if frames else "new",
    )  # fmt: skip
    slicer_app.wait_until(lambda: not run.running, 60, "the end of the run")
    assert volume.GetTransformNodeID() is None
    for node in [results[0]["output"], *([] if frames else [results[0]["noiseMap"]])]:
        assert node.GetParentTransformNode() is (None if deleted else moved)
        there = np.eye(4) if deleted else about_right(90) @ about_right(0, (1, 2, 3))
        np.testing.assert_allclose(there @ matrix_of(node), before, atol=1e-9)


def test_a_noise_map_is_of_the_voxels_that_were_read(logic: Any, tiny_model: Path, slicer_app: Any) -> None:
    import slicer

    volume = add_ct()
    read = voxels_of(volume)

    def edit(done: int, _total: int) -> None:
        """In place, as a script or an effect of the Segment Editor does it."""
        if done == 1:
            slicer.util.arrayFromVolume(volume)[:] = 500

    results: list[dict] = []
    run = logic.startProcess(
        volume, None, model=str(tiny_model), batchSize=1, onProgress=edit, onFinished=results.append, noiseMap="new"
    )
    slicer_app.wait_until(lambda: not run.running, 60, "the end of the run")
    assert (voxels_of(volume) == 500).all()
    removed = voxels_of(results[0]["noiseMap"])
    np.testing.assert_array_equal(removed, read - voxels_of(results[0]["output"]))
    noise = removed[read > -500].astype(float)
    assert results[0]["noiseMap"].GetDisplayNode().GetWindow() == pytest.approx(6 * noise[noise != 0].std())


def test_a_volume_that_shows_a_sequence_takes_no_result(logic: Any, tiny_model: Path) -> None:
    from LDCTDenoiseLib.errors import InputError

    _browser, shown = add_sequence(FRAMES, ["0", "50", "90"])
    with pytest.raises(InputError, match="The output shows a sequence"):
        logic.process(add_ct(), shown, model=str(tiny_model))
    with pytest.raises(InputError, match="The noise map shows a sequence"):
        logic.process(add_ct(), None, model=str(tiny_model), noiseMap=shown)


def test_the_reference_is_never_the_output(logic: Any, tiny_model: Path) -> None:
    from LDCTDenoiseLib.errors import InputError

    volume, reference = add_ct(), add_ct(name="Normal dose")
    with pytest.raises(InputError, match="is the reference"):
        logic.process(volume, reference, model=str(tiny_model), reference=reference)
    with pytest.raises(InputError, match="is the reference"):
        logic.process(volume, None, model=str(tiny_model), reference=reference, noiseMap=reference)


def test_a_volume_that_takes_a_result_is_no_longer_what_was_loaded_into_it(logic: Any, tiny_model: Path) -> None:
    output = add_ct(name="Loaded")
    output.SetAttribute("DICOM.instanceUIDs", "9.9.9")
    logic.process(add_ct(), output, model=str(tiny_model))
    assert output.GetAttribute("DICOM.instanceUIDs") is None
