"""A model adapted to one's own scans: what it learns from, what it is judged by, and when nothing is written."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib import Denoiser, InputError, OutputError
from LDCTDenoiseLib.adaptation import adapt as adapt_module
from LDCTDenoiseLib.adaptation import scans as scans_module
from LDCTDenoiseLib.adaptation.adapt import adapt
from LDCTDenoiseLib.adaptation.comparison import Score
from LDCTDenoiseLib.adaptation.scans import SplitScan, find_scans
from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.ct.scan import Scan
from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.models.model_file import load_model
from LDCTDenoiseLib.models.model_info import read_info
from LDCTDenoiseLib.training.patches.cases import Case, NoiseInsertedCase
from Testing.dicom.dicom_files import OTHER_SERIES, SERIES, make_slice, save
from Testing.training.test_patches import write_phantom

WORSE, BETTER = Score(3.0, 0.5, 0.9), Score(4.0, 0.4, 0.9)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    write_phantom(folder / "anna.nrrd", slices=8)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps of small patches."""
    monkeypatch.setattr(adapt_module, "DATA", replace(adapt_module.DATA, patch_size=16, batch_size=4))
    monkeypatch.setattr(adapt_module, "FEWEST_STEPS", 4)
    monkeypatch.setattr(adapt_module, "time_steps", lambda *args, **settings: 3.0)


def judged(monkeypatch: pytest.MonkeyPatch, *scores: Score) -> None:
    monkeypatch.setattr(adapt_module, "score", lambda denoiser, pairs, left=list(scores): left.pop(0))


def test_slices_are_learnt_from_or_judged_by_and_neighbours_are_neither(data: Path) -> None:
    (scan,) = find_scans(data)
    assert [len(part.hu) for part in (scan.train[0], scan.held_back, scan.train[1])] == [2, 2, 2]
    place = [round(part.geometry.origin[2] / 5) for part in (scan.train[0], scan.held_back, scan.train[1])]
    assert place == [0, 3, 6]


def test_a_file_and_its_folder_are_the_same_scan(data: Path) -> None:
    (one,), (other,) = find_scans(data), find_scans(data / "anna.nrrd")
    np.testing.assert_array_equal(one.held_back.hu, other.held_back.hu)


def test_of_many_and_long_scans_some_slices_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        write_phantom(tmp_path / f"{name}.nrrd", slices=10)
    monkeypatch.setattr(scans_module, "MOST_SCANS", 2)
    monkeypatch.setattr(scans_module, "MOST_SLICES", 16)
    scans = find_scans(tmp_path)
    assert [scan.name for scan in scans] == ["a.nrrd", "d.nrrd"]
    for scan in scans:
        assert len(scan.held_back.hu) + sum(len(part.hu) for part in scan.train) == 8 - 2


def test_a_scan_of_few_slices_is_refused(tmp_path: Path) -> None:
    write_phantom(tmp_path / "anna.nrrd", slices=5)
    with pytest.raises(InputError, match=r"anna.nrrd has 5 slices; .* at least 6"):
        find_scans(tmp_path)


def write_slices(path: Path, count: int, step: float, first: float = 0.0, across: float = 0.0) -> None:
    """A scan whose voxels do not matter, from a place on, in mm."""
    image = sitk.GetImageFromArray(np.full((count, 8, 8), -1000, np.int16))
    image.SetSpacing((0.8, 0.8, step))
    image.SetOrigin((across, 0.0, first))
    sitk.WriteImage(image, str(path))


def places(*parts: Scan) -> list[float]:
    """Where slices lie, in mm."""
    return [round(part.geometry.place_of((n, 0, 0))[2], 3) for part in parts for n in range(len(part.hu))]


def nearest(one: SplitScan, other: SplitScan) -> float:
    """Least distance of a slice that one is trained on from where the other is judged, in mm."""
    judged = places(other.held_back)
    return min(max(min(judged) - place, place - max(judged)) for place in places(*one.train))


def test_no_reconstruction_is_trained_on_where_another_is_judged(tmp_path: Path) -> None:
    write_slices(tmp_path / "thick.nrrd", 12, 5.0)
    write_slices(tmp_path / "thin.nrrd", 60, 1.0)
    thick, thin = find_scans(tmp_path)
    assert places(thick.held_back) == [20, 25, 30]
    assert nearest(thin, thick) == 6, "a step of each"
    assert nearest(thick, thin) == 10
    assert places(*thick.train) == [0, 5, 10, 45, 50, 55]


def test_reconstructions_at_the_same_places_are_trained_on_as_each_alone(tmp_path: Path) -> None:
    for name in ("soft", "lung"):
        write_slices(tmp_path / f"{name}.nrrd", 12, 1.1, first=-337.3)
    for scan in find_scans(tmp_path):
        assert [len(part.hu) for part in scan.train] == [3, 4]


def test_scans_about_other_axes_are_of_other_bodies(tmp_path: Path) -> None:
    write_slices(tmp_path / "anna.nrrd", 12, 5.0)
    write_slices(tmp_path / "bert.nrrd", 60, 1.0, across=3.0)
    assert [sum(len(part.hu) for part in scan.train) for scan in find_scans(tmp_path)] == [7, 34]


def test_a_scan_that_lies_where_another_is_judged_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_slices(tmp_path / "thick.nrrd", 40, 5.0)
    write_slices(tmp_path / "thin.nrrd", 8, 1.0, first=90.0)
    assert [scan.name for scan in find_scans(tmp_path)] == ["thick.nrrd"]
    assert "Left out: thin.nrrd" in caplog.text


@pytest.mark.parametrize(("study", "left"), [("1.2.3", [6, 26]), ("1.2.4", [7, 34])])
def test_series_are_of_one_body_where_they_are_of_one_study(tmp_path: Path, study: str, left: list[int]) -> None:
    def write(uid: str, count: int, step: float, study: str, across: float) -> None:
        for n in range(count):
            tags = {"StudyInstanceUID": study, "SeriesInstanceUID": uid, "SOPInstanceUID": f"{uid}.{n}"}
            place = {"ImagePositionPatient": [across, 0, n * step], "SliceThickness": step}
            save(make_slice(0, tags | place), tmp_path / uid / f"{n}.dcm")

    write(SERIES, 12, 5.0, "1.2.3", 0.0)
    write(OTHER_SERIES, 60, 1.0, study, 10.0)  # a smaller part of the plane
    assert [sum(len(part.hu) for part in scan.train) for scan in find_scans(tmp_path)] == left


def test_slices_that_cross_where_another_is_judged_are_not_trained_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(8):
        save(make_slice(n, {"SOPInstanceUID": f"{SERIES}.{n}"}), tmp_path / "axial" / f"{n}.dcm")
        turned = {"ImageOrientationPatient": [1, 0, 0, 0, 0, 1], "ImagePositionPatient": [0, n, 5]}
        tags = {"SeriesInstanceUID": OTHER_SERIES, "SOPInstanceUID": f"{OTHER_SERIES}.{n}"}
        save(make_slice(0, tags | turned), tmp_path / "coronal" / f"{n}.dcm")
    assert [scan.name for scan in find_scans(tmp_path)] == ["axial"]
    assert "Left out: coronal" in caplog.text


def test_a_scan_with_nan_is_refused(tmp_path: Path) -> None:
    hu = np.full((8, 8, 8), -1000, np.float32)
    hu[3, 0, :2] = np.nan
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(tmp_path / "anna.nrrd"))
    with pytest.raises(InputError, match="NaN or infinity in 2 voxels"):
        find_scans(tmp_path)


def test_a_better_model_is_written_with_its_card_and_says_what_it_started_from(
    data: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, WORSE, BETTER)
    out = tmp_path / "mine.safetensors"
    done = adapt(data, out, minutes=1, device="cpu")
    assert done.model == out
    assert done.steps >= 4
    info, start = read_info(out), load_model("default")
    assert info.name == "mine"
    assert info.training["start_from"]["tensor_hash"] == start[1].tensor_hash
    assert "| before | 3.00 | 0.50 | 0.90 |" in out.with_suffix(".md").read_text()
    adapted, _ = load_model(out)
    changed = [
        any((a != b).any() for a, b in zip(adapted.network(n).parameters(), start[0].network(n).parameters(), strict=True))
        for n in range(2)
    ]
    assert changed == [True, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.md", "mine.safetensors"]


def test_the_noise_that_a_model_is_judged_by_is_none_that_it_learns_from(
    data: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs: list[DosePair] = []
    learnt: list[np.ndarray] = []
    load_cases = adapt_module.load_cases

    def remember_pairs(denoiser: Denoiser, of_scans: list[DosePair]) -> Score:
        pairs.extend(of_scans)
        return WORSE

    def remember_cases(*arguments: object, **settings: object) -> dict[str, list[Case]]:
        found = load_cases(*arguments, **settings)  # type: ignore[arg-type]
        for case in found["train"]:
            assert isinstance(case, NoiseInsertedCase)
            assert case.kernel is not None
            photons = case.prepared.noise[0].astype(np.float32)
            learnt.extend(case.kernel.shape(noise, case.spacing) for noise in photons)
        return found

    monkeypatch.setattr(adapt_module, "score", remember_pairs)
    monkeypatch.setattr(adapt_module, "load_cases", remember_cases)
    with pytest.raises(InputError, match="too short"):
        adapt(data, tmp_path / "mine.safetensors", minutes=0.1, device="cpu")
    judged = [low - full for pair in pairs for low, full in zip(pair.low, pair.full, strict=True)]
    assert (len(judged), len(learnt)) == (2, 4)
    correlations = [abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) for one in judged for other in learnt]
    assert max(correlations) < 0.2


@pytest.mark.parametrize("after", [WORSE, Score(4.0, 0.5, 0.87), Score(2.9, 0.4, 0.95)])
def test_a_model_that_is_worse_or_wipes_out_lesions_is_not_written(
    data: Path,
    tmp_path: Path,
    quick: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    after: Score,
) -> None:
    judged(monkeypatch, WORSE, after)
    assert main(["adapt", str(data), "--out", str(tmp_path / "mine.safetensors"), "--minutes", "1", "--device", "cpu"]) == 1
    captured = capsys.readouterr()
    assert "nothing was written" in captured.err
    assert "before: gain 3.00 dB" in captured.out
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_came_meanwhile_is_not_replaced_unasked(
    data: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, WORSE, BETTER)
    out, train = tmp_path / "mine.safetensors", adapt_module.train

    def let_it_come(*arguments: Any, **settings: Any) -> Path:
        out.write_text("mine")
        return train(*arguments, **settings)

    monkeypatch.setattr(adapt_module, "train", let_it_come)
    with pytest.raises(OutputError, match=r"mine\.safetensors was made meanwhile"):
        adapt(data, out, minutes=1, device="cpu")
    assert out.read_text() == "mine"


def test_too_short_a_time_is_refused_with_the_time_that_it_takes(data: Path, tmp_path: Path, quick: None) -> None:
    with pytest.raises(InputError, match=r"0\.1 minutes are too short to learn anything here; give at least"):
        adapt(data, tmp_path / "mine.safetensors", minutes=0.1, device="cpu")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence", "status"),
    [
        (["none", "--out", "mine.safetensors"], "none", 1),
        (["anna.nrrd", "--out", "mine.pt"], "The output mine.pt must end in .safetensors.", 1),
        (["anna.nrrd", "--out", "mine.safetensors", "--minutes", "0"], "'0' is not a number of minutes above 0", 2),
    ],
)
def test_wrong_arguments_get_a_sentence(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
    status: int,
) -> None:
    shutil.copy(data / "anna.nrrd", tmp_path)
    monkeypatch.chdir(tmp_path)
    if status == 2:
        with pytest.raises(SystemExit, match="2"):
            main(["adapt", *arguments])
    else:
        assert main(["adapt", *arguments]) == status
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_the_shipped_model_is_adapted_for_real_in_the_time_given_and_not_spoilt(tmp_path: Path) -> None:
    scan = write_phantom(tmp_path / "phantom.nrrd", slices=12)
    done = adapt(scan, tmp_path / "mine.safetensors", minutes=5, device="cpu")
    assert done.minutes < 7
    assert done.after.gain_db > done.before.gain_db - 0.3
    assert (done.model is not None) == done.after.better_than(done.before) == (tmp_path / "mine.safetensors").exists()
    if done.model:
        assert Denoiser(done.model, "cpu").info.name == "mine"
