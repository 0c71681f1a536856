"""A real CT through the panel and through the command line: the same voxels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.measures.lesion_test import try_lesion
from LDCTDenoiseLib.measures.signal_kept import Lesion
from Testing.slicer.slicer_panel import Panel, scene_now, voxels_of


def test_the_panel_and_the_command_line_give_the_same_voxels(panel: Panel, shared: Path, tmp_path: Path) -> None:
    import slicer

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(shared / "data" / "train" / "abdomen_CRLM-CT-1004.nrrd"))
    reader.ReadImageInformation()
    columns, rows, _count = reader.GetSize()
    reader.SetExtractIndex((0, 0, 20))
    reader.SetExtractSize((columns, rows, 4))
    sitk.WriteImage(reader.Execute(), str(tmp_path / "ct.nrrd"))

    options = ["--device", "cpu", "--blend", "0.7", "--levels", "1", "--slices", "1:4"]
    assert main(["denoise", str(tmp_path / "ct.nrrd"), str(tmp_path / "out.nrrd"), *options]) == 0

    volume = slicer.util.loadVolume(str(tmp_path / "ct.nrrd"))
    panel.parameters.model = "default"
    panel.pick("inputSelector", volume)
    panel.pick_text("deviceCombo", "cpu")
    panel.ui.naturalStrengthButton.click()
    panel.ui.levelsSpin.value = 1
    panel.pick_text("regionCombo", "Slice range")
    panel.ui.firstSliceSpin.value = 1
    output = panel.denoise()
    expected = sitk.ReadImage(str(tmp_path / "out.nrrd"))
    np.testing.assert_array_equal(voxels_of(output), sitk.GetArrayFromImage(expected))
    assert not np.array_equal(voxels_of(output)[1:], voxels_of(volume)[1:])
    assert output.GetImageData().GetScalarType() == volume.GetImageData().GetScalarType()
    slicer.util.saveNode(output, str(tmp_path / "panel.nrrd"))
    saved = sitk.ReadImage(str(tmp_path / "panel.nrrd"))
    for place in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(saved, place)(), getattr(expected, place)(), atol=1e-5)


def test_the_lesion_test_says_the_same_in_panel_command_line_and_library(
    panel: Panel, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """On a slice of a real abdomen, in soft tissue; nothing in the scene changes."""
    import slicer

    image = sitk.ReadImage(str(shared / "data" / "train" / "abdomen_CRLM-CT-1004.nrrd"))[:, :, 20:22]
    sitk.WriteImage(image, str(tmp_path / "ct.nrrd"))
    voxels = sitk.GetArrayFromImage(image)
    row, column = soft_tissue(voxels[1])
    right, front, up = image.TransformIndexToPhysicalPoint((column, row, 1))
    scan, options = str(tmp_path / "ct.nrrd"), ["--device", "cpu", "--json", "--diameter", "8", "4"]
    capsys.readouterr()
    assert main(["lesion-test", scan, "--at", f"{column},{row},1", *options]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["slice"], told["row"], told["column"]) == (1, row, column)
    assert main(["lesion-test", scan, f"--at={-right:.4f},{-front:.4f},{up:.4f}", *options]) == 0
    assert json.loads(capsys.readouterr().out) == told

    volume = slicer.util.loadVolume(scan)
    panel.parameters.model = "default"
    panel.pick("inputSelector", volume)
    before = scene_now()
    place, diameters = (-right, -front, up), (8.0, 4.0)
    answers = panel.widget.logic.lesionTest(volume, place, -20.0, diameters, model="default", device="cpu")["answers"]
    assert scene_now() == before
    spacing = image.GetSpacing()[1], image.GetSpacing()[0]
    for answer, said, diameter in zip(answers, told["answers"], diameters, strict=True):
        own = try_lesion(Denoiser("default", "cpu"), voxels, (1, row, column), Lesion(-20, diameter / 2), spacing)
        assert 0.3 < own.signal_kept < 1.2
        for name, value in own.figures.items():
            assert answer[name] == pytest.approx(said[name], rel=1e-6)
            assert answer[name] == pytest.approx(value, rel=1e-3)


def soft_tissue(voxels: np.ndarray) -> tuple[int, int]:
    """Row and column in the middle of the largest soft tissue: farthest from all that is none."""
    inside = sitk.GetImageFromArray(((voxels > 0) & (voxels < 120)).astype(np.uint8))
    inside = sitk.BinaryOpeningByReconstruction(sitk.BinaryMedian(inside, (3, 3)), (3, 3))
    distance = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(inside, insideIsPositive=True, squaredDistance=False))
    row, column = np.unravel_index(np.argmax(distance), distance.shape)
    return int(row), int(column)
