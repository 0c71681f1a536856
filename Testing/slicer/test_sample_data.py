"""The module's sample data: registered with their thumbnails, made when they are asked for."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.slicer.slicer_panel import Panel, add_ct, noisy_slices, voxels_of


def sources() -> dict[str, Any]:
    import slicer

    return {source.sampleName: source for source in slicer.modules.sampleDataSources["LDCT Denoise"]}


def watch_dialog(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Value and maximum of the progress dialog's bar each time that the worker told something."""
    progress = sys.modules["LDCTDenoiseModuleLib.sampleProgress"].SampleProgress
    tell, seen = progress.tell, []

    def watched(self: Any, done: int, total: int) -> None:
        tell(self, done, total)
        if self._dialog.value != (seen[-1][0] if seen else -1):
            seen.append((self._dialog.value, self._dialog.maximum))

    monkeypatch.setattr(progress, "tell", watched)
    return seen


def test_the_samples_are_registered_with_thumbnails(panel: Panel) -> None:
    found = sources()
    assert set(found) == {"LDCT phantom (quarter dose)", "CTChest (simulated quarter dose)"}
    for source in found.values():
        thumbnail = Path(source.thumbnailFileName)
        assert thumbnail.is_file()
        width, height = sitk.ReadImage(str(thumbnail)).GetSize()[:2]
        assert min(width, height) >= 128
        assert not source.uris


def test_the_phantom_loads_is_shown_and_can_be_denoised(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    monkeypatch.setattr(sys.modules["LDCTDenoiseModuleLib.sampleData"], "PHANTOM_SHAPE", (2, 192, 192))
    seen = watch_dialog(monkeypatch)
    source = sources()["LDCT phantom (quarter dose)"]
    volume = source.customDownloader(source)
    assert seen == [(1, 4), (2, 4), (3, 4)]  # two slices made, then scanned; at the end the dialog closes
    voxels = voxels_of(volume)
    assert voxels.shape == (2, 192, 192)
    assert voxels.dtype == np.int16
    assert voxels.min() < -900
    assert 0 < np.median(voxels[:, 64:96, 64:96]) < 100
    assert volume.GetSpacing()[0] == volume.GetSpacing()[1] == pytest.approx(400 / 192)
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert red.GetBackgroundVolumeID() == volume.GetID()
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    assert bounds[0] == pytest.approx(-bounds[1])  # the body lies in the middle of the scanner
    panel.pick("inputSelector", volume)
    panel.pick_text("regionCombo", "Slice range")
    panel.ui.lastSliceSpin.value = 0
    assert panel.denoise().GetName() == "LDCT phantom denoised"


def test_the_chest_gets_the_noise_of_a_quarter_of_its_dose(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    chest = add_ct(noisy_slices(3, 128), "CTChest")
    monkeypatch.setattr(sys.modules["SampleData"].SampleDataLogic, "downloadCTChest", lambda self: chest, raising=False)
    source = sources()["CTChest (simulated quarter dose)"]
    volume = source.customDownloader(source)
    assert volume.GetName() == "CTChest quarter dose"
    assert volume.GetSpacing() == chest.GetSpacing()
    assert volume.GetDisplayNode().GetWindow() == chest.GetDisplayNode().GetWindow()
    before, after = voxels_of(chest)[:, 20:108, 20:108], voxels_of(volume)[:, 20:108, 20:108]
    assert after.dtype == before.dtype
    assert after.std() > 1.05 * before.std()
    assert after.mean() == pytest.approx(before.mean(), abs=3)


def test_the_simulated_chest_lies_where_its_voxels_were_read(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    chest = add_ct(noisy_slices(2, 128), "CTChest")
    place = chest.GetOrigin()
    monkeypatch.setattr(sys.modules["SampleData"].SampleDataLogic, "downloadCTChest", lambda self: chest, raising=False)
    progress = sys.modules["LDCTDenoiseModuleLib.sampleProgress"].SampleProgress
    monkeypatch.setattr(progress, "tell", lambda self, done, total: chest.SetOrigin(1, 2, 3))
    source = sources()["CTChest (simulated quarter dose)"]
    volume = source.customDownloader(source)
    assert chest.GetOrigin() == (1, 2, 3)
    assert volume.GetOrigin() == place


def test_the_samples_need_no_pytorch(panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch', name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sys.modules["LDCTDenoiseModuleLib.sampleData"], "PHANTOM_SHAPE", (1, 128, 128))
    monkeypatch.setattr(
        sys.modules["SampleData"].SampleDataLogic, "downloadCTChest", lambda self: add_ct(noisy_slices(2, 128)), raising=False
    )
    for source in sources().values():
        assert source.customDownloader(source) is not None
    assert panel.app.messages.texts("error") == []


@pytest.mark.parametrize("name", ["LDCT phantom (quarter dose)", "CTChest (simulated quarter dose)"])
def test_a_sample_asks_for_its_package_and_says_when_it_is_still_missing(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import slicer

    monkeypatch.setattr(sys.modules["SampleData"].SampleDataLogic, "downloadCTChest", lambda self: add_ct(), raising=False)
    panel.app.installs.absent.add("finufft")
    panel.app.messages.answer(False)
    before = len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
    assert sources()[name].customDownloader(sources()[name]) is None
    assert "slicer.util.pip_install('finufft>=2.3')" in panel.app.messages.texts("error")[0]
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == before + name.startswith("CTChest")


def test_a_sample_that_is_being_made_can_be_cancelled(panel: Panel) -> None:
    import qt
    import slicer

    dialogs: list[Any] = []

    def cancel() -> None:
        dialogs.extend(w for w in qt.QApplication.topLevelWidgets() if w.className() == "QProgressDialog" and w.visible)
        dialogs[0].findChild(qt.QPushButton).click()

    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.connect("timeout()", cancel)
    timer.start(500)
    source = sources()["LDCT phantom (quarter dose)"]
    start = time.monotonic()
    assert source.customDownloader(source) is None
    assert time.monotonic() - start < 5
    assert dialogs[0].windowTitle == "LDCT Denoise"
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert panel.app.messages.texts("error") == []
