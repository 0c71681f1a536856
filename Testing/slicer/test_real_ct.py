"""A real CT through the panel and through the command line: the same voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from LDCTDenoiseLib.commands.command_line import main
from Testing.slicer.slicer_panel import Panel, voxels_of


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
