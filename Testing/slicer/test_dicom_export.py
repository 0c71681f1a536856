"""The panel's export to DICOM: the source's files are found, the series is right, Slicer's database gets it."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.dicom.dicom_files import SERIES, STUDY, make_slice, save
from Testing.slicer.slicer_panel import Panel, noisy_slices, voxels_of

COUNT = 4


@pytest.fixture
def dicom(tmp_path: Path) -> list[Path]:
    """A CT series as a scanner gives it, signed, so that no HU is cut off."""
    hu = noisy_slices(COUNT)
    files = []
    for number in range(COUNT):
        one = make_slice(number, {"RescaleIntercept": 0}, hu[number])
        files.append(save(one, tmp_path / "source" / f"{number}.dcm"))
    return files


def load(files: list[Path], *, as_database: bool) -> Any:
    """What Slicer's DICOM module makes of them."""
    import slicer

    node = slicer.util.addVolumeFromArray(noisy_slices(COUNT), name="7: phantom")
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.SetSpacing(0.8, 0.7, 2.5)
    node.SetOrigin(12.5, -30.25, 0)
    if as_database:
        node.SetAttribute("DICOM.instanceUIDs", " ".join(f"{SERIES}.{number + 1}" for number in range(COUNT)))
        return node
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(files[0]))
    for file in files:
        storage.AddFileName(str(file))
    node.SetAndObserveStorageNodeID(storage.GetID())
    return node


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, dicom: list[Path]) -> list[str]:
    """Slicer's DICOM database, as far as the export asks it; returns the folders that were added to it."""
    import slicer

    added: list[str] = []
    known = {f"{SERIES}.{number + 1}": str(file) for number, file in enumerate(dicom)}
    monkeypatch.setattr(
        slicer, "dicomDatabase", types.SimpleNamespace(fileForInstance=lambda uid: known.get(uid, "")), raising=False
    )
    library = types.ModuleType("DICOMLib")
    library.DICOMUtils = types.SimpleNamespace(importDicom=added.append)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "DICOMLib", library)
    return added


def check(folder: Path, output: Any) -> None:
    np.testing.assert_array_equal(read_volume(folder).hu, voxels_of(output))
    for number, path in enumerate(sorted(folder.iterdir())):
        one = dcmread(path)
        assert one.StudyInstanceUID == STUDY
        assert one.SeriesInstanceUID != SERIES
        assert one.SeriesDescription == "phantom LDCTDenoise"
        assert one.PatientName == "Test^Phantom"
        assert list(one.ImagePositionPatient) == [-12.5, 30.25, number * 2.5]
        assert "blend 0.7" in one.DerivationDescription


def test_a_volume_of_slicers_database_is_exported_and_added_to_it(
    logic: Any, dicom: list[Path], database: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    output = logic.process(load(dicom, as_database=True), None, model=tiny_model, blend=0.7, device="cpu")["output"]
    series = logic.exportToDICOM(output, tmp_path / "out")
    assert [dcmread(next((tmp_path / "out").iterdir())).SeriesInstanceUID] == series
    check(tmp_path / "out", output)
    assert database == [str(tmp_path / "out")]


def test_the_source_may_be_gone_when_slicers_database_knows_its_files(
    logic: Any, dicom: list[Path], database: list[str], tiny_model: Path, tmp_path: Path
) -> None:
    import slicer

    source = load(dicom, as_database=True)
    output = logic.process(source, None, model=tiny_model, blend=0.7, device="cpu")["output"]
    slicer.mrmlScene.RemoveNode(source)
    logic.exportToDICOM(output, tmp_path / "out")
    check(tmp_path / "out", output)


def test_a_volume_loaded_from_dicom_files_is_exported_without_the_database(
    logic: Any, dicom: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    output = logic.process(load(dicom, as_database=False), None, model=tiny_model, blend=0.7, device="cpu")["output"]
    logic.exportToDICOM(output, tmp_path / "out")
    check(tmp_path / "out", output)


def test_what_did_not_come_from_dicom_or_from_this_module_is_refused(
    logic: Any, dicom: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    import slicer

    plain = slicer.util.addVolumeFromArray(noisy_slices(COUNT), name="Plain")
    with pytest.raises(InputError, match="Plain is not a result of this module"):
        logic.exportToDICOM(plain, tmp_path / "out")
    output = logic.process(plain, None, model=tiny_model, device="cpu")["output"]
    with pytest.raises(InputError, match="was not loaded from DICOM"):
        logic.exportToDICOM(output, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_panel_asks_for_a_folder_and_makes_a_new_one_in_it(panel: Panel, dicom: list[Path], tmp_path: Path) -> None:
    panel.ui.exportButton.click()
    assert "press Apply first" in panel.ui.exportInfoLabel.text
    panel.pick("inputSelector", load(dicom, as_database=False))
    panel.ui.strengthSlider.value = 70
    output = panel.denoise()
    (tmp_path / "LDCTDenoise").mkdir()
    panel.app.messages.answer(str(tmp_path))
    panel.ui.exportButton.click()
    assert not panel.ui.exportButton.enabled
    panel.wait_for(lambda: panel.ui.exportButton.enabled, "the end of the export")
    assert panel.ui.exportInfoLabel.text.replace("\u200b", "") == f"Exported to {tmp_path / 'LDCTDenoise 2'}."
    check(tmp_path / "LDCTDenoise 2", output)


def test_a_failed_export_says_why_and_leaves_no_folder(panel: Panel, dicom: list[Path], tmp_path: Path) -> None:
    panel.pick("inputSelector", load(dicom, as_database=False))
    panel.denoise()
    dicom[1].unlink()
    panel.app.messages.answer(str(tmp_path))
    panel.ui.exportButton.click()
    panel.wait_for(lambda: panel.ui.exportButton.enabled, "the end of the export")
    assert "load the source from DICOM again" in panel.ui.exportInfoLabel.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]
