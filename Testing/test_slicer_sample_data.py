"""The module's sample data: pressed in Slicer's Sample Data module, as its thumbnails' buttons press them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LDCTDenoiseLib.errors import MissingTorchError
from Testing.slicer_panel import add_ct, exchange_folders, noisy_slices, voxels_of

SHOWN_BY = ("Red", "Green", "Yellow")


@pytest.fixture
def samples(logic: Any) -> dict[str, Any]:
    """The registered sources by name; ``logic`` has loaded the module and looks after its worker."""
    import slicer

    return {source.sampleName: source for source in slicer.modules.sampleDataSources["LDCT Denoise"]}


def press(source: Any) -> Any:
    return source.customDownloader(source)


def shown() -> set[Any]:
    import slicer

    return {slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceCompositeNode{view}").GetBackgroundVolumeID() for view in SHOWN_BY}


def test_both_samples_have_a_thumbnail(samples: dict[str, Any]) -> None:
    assert list(samples) == ["LDCT phantom (quarter dose)", "CTChest (simulated quarter dose)"]
    for source in samples.values():
        assert 0 < Path(source.thumbnailFileName).stat().st_size < 40e3


def test_the_phantom_is_made_and_shown(samples: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from LDCTDenoiseModuleLib import sampleData

    monkeypatch.setattr(sampleData.phantomSteps, "__defaults__", ((2, 96, 96),))
    phantom = press(samples["LDCT phantom (quarter dose)"])
    hu = voxels_of(phantom)
    assert (hu.shape, hu.dtype) == ((2, 96, 96), np.int16)
    assert hu.min() < -900
    assert hu.max() > 400
    assert shown() == {phantom.GetID()}


def test_the_chest_gets_the_noise_of_a_quarter_of_its_dose(samples: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from LDCTDenoiseModuleLib import sampleData

    monkeypatch.setattr(sampleData, "_chest", lambda: add_ct(noisy_slices(4, 96), "CTChest"))  # in place of the network
    noisy = press(samples["CTChest (simulated quarter dose)"])
    assert noisy.GetName() == "CTChest quarter dose"
    before, after = (np.std(hu[:, 30:66, 30:66]) for hu in (noisy_slices(4, 96), voxels_of(noisy)))
    assert after > 1.3 * before
    assert shown() == {noisy.GetID()}


def test_without_torch_a_press_says_so_and_adds_nothing(
    samples: dict[str, Any], slicer_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import slicer
    from LDCTDenoiseModuleLib import sampleData

    def no_torch(_worker: Any) -> Any:
        raise MissingTorchError("PyTorch is not installed; press Install PyTorch under Device and setup.")
        yield

    monkeypatch.setattr(sampleData, "phantomSteps", no_torch)
    before = slicer.mrmlScene.GetNumberOfNodes()
    assert press(samples["LDCT phantom (quarter dose)"]) is None
    assert slicer_app.messages.texts("error") == ["PyTorch is not installed; press Install PyTorch under Device and setup."]
    assert slicer.mrmlScene.GetNumberOfNodes() == before
    assert not exchange_folders()
