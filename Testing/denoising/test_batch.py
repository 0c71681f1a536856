"""``ldctdenoise batch``: every series to its place, what is done stays done, and what fails stops nothing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.encaps
import pytest
import SimpleITK as sitk
from pydicom.uid import MPEG2MPML

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.denoising.batch import one_item
from LDCTDenoiseLib.denoising.batch.remains import is_damaged
from LDCTDenoiseLib.denoising.one_file import FileOptions, Input, Source, denoise_file, read_input
from LDCTDenoiseLib.errors import DeviceError, OutputError
from LDCTDenoiseLib.inference import engine
from LDCTDenoiseLib.system import files, memory
from LDCTDenoiseLib.system.work_folder import WorkFolder
from Testing.conftest import REPOSITORY
from Testing.dicom.dicom_files import OTHER_SERIES, SERIES, make_slice, save, save_series
from Testing.system.unprivileged import as_nobody, closed_folder

RECORDS = ".ldctdenoise.batch"


@dataclass
class Batch:
    """What a run of the command printed."""

    code: int
    out: str
    err: str

    @property
    def statuses(self) -> dict[str, str]:
        """By output."""
        return {one["output"]: one["status"] for one in json.loads(self.out)["series"]}

    def reason(self, output: str) -> str:
        return next(one["reason"] for one in json.loads(self.out)["series"] if one["output"] == output)

    def warnings(self, output: str) -> list[str]:
        return next(one["warnings"] for one in json.loads(self.out)["series"] if one["output"] == output)


Run = Callable[..., Batch]


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path) -> Run:
    """Run ``batch SRC DST`` on the test's folders, with a JSON summary."""

    def run_batch(*options: object, source: Path = tmp_path / "src", target: Path = tmp_path / "dst") -> Batch:
        arguments = ["batch", source, target, "--model", tiny_model, "--device", "cpu", "--quiet", "--json", *options]
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = main([str(one) for one in arguments])
        return Batch(code, out.getvalue(), err.getvalue())

    return run_batch


def save_volume(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).normal(-300, 300, (3, 16, 16)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path), useCompression=True)
    return path


def save_dicom(folder: Path, series: str = SERIES, slices: int = 3) -> None:
    """A series of its own: other UIDs, and file names that do not clash with another's."""
    for number in range(slices):
        stored = np.random.default_rng(number).normal(700, 200, (16, 16)).astype(np.uint16)
        dataset = make_slice(number, {"SeriesInstanceUID": series, "SOPInstanceUID": f"{series}.{number + 1}"}, stored)
        save(dataset, folder / f"{series[-3:]}-{number}.dcm")


def write_tree(source: Path) -> Path:
    """Volume files and DICOM series of several layouts."""
    save_volume(source / "a.nrrd")
    save_volume(source / "deep" / "er" / "b.nii.gz", 1)
    save_volume(source / "deep" / "c.mhd", 2)
    save_dicom(source / "study" / "one")
    save_dicom(source / "study" / "two", OTHER_SERIES)
    (source / "study" / "notes.txt").write_text("no image")
    return source


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "src")


OUTPUTS = ["a.nrrd", "deep/c.mha", "deep/er/b.nii.gz", "study/one", "study/two"]


def contents(folder: Path) -> dict[str, bytes]:
    """Outputs, without the records."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(RECORDS)}


# What is denoised, and where it goes


def test_every_series_goes_to_the_same_place(run: Run, tree: Path, tmp_path: Path, tiny_model: Path) -> None:
    batch = run()
    assert batch.code == 0, batch.err
    assert batch.statuses == dict.fromkeys(OUTPUTS, "denoised")
    files = set(contents(tmp_path / "dst"))
    dicom = {f"study/{name}/{number:05d}.dcm" for name in ("one", "two") for number in (1, 2, 3)}
    assert files == {"a.nrrd", "deep/c.mha", "deep/er/b.nii.gz"} | dicom
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(tree / "a.nrrd")))
    expected = Denoiser(tiny_model, device="cpu")(voxels)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "dst" / "a.nrrd"))), expected)


def test_the_model_is_loaded_once(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    load = engine.read_model
    monkeypatch.setattr(engine, "read_model", lambda name: loaded.append(name) or load(name))
    assert run().code == 0
    assert len(loaded) == 1


def test_series_that_share_a_folder_get_one_each(run: Run, tmp_path: Path) -> None:
    save_dicom(tmp_path / "src" / "both")
    save_dicom(tmp_path / "src" / "both", OTHER_SERIES)
    assert run().statuses == {f"both/{SERIES}": "denoised", f"both/{OTHER_SERIES}": "denoised"}
    for series in (SERIES, OTHER_SERIES):
        references = [
            pydicom.dcmread(path).SourceImageSequence[0].ReferencedSOPInstanceUID
            for path in sorted((tmp_path / "dst" / "both" / series).iterdir())
        ]
        assert references == [f"{series}.{number}" for number in (1, 2, 3)]


def test_a_series_around_another_gets_its_own_folder(run: Run, tmp_path: Path) -> None:
    save_dicom(tmp_path / "src" / "outer")
    save_dicom(tmp_path / "src" / "outer" / "inner", OTHER_SERIES)
    save_volume(tmp_path / "src" / "other" / "v.nrrd")
    assert set(run().statuses) == {f"outer/{SERIES}", "outer/inner", "other/v.nrrd"}


def test_a_series_beside_a_volume_gets_its_own_folder(run: Run, tmp_path: Path) -> None:
    save_dicom(tmp_path / "src" / "ct")
    save_volume(tmp_path / "src" / "ct" / "v.nrrd")
    assert set(run().statuses) == {f"ct/{SERIES}", "ct/v.nrrd"}


def test_a_series_in_the_folder_itself_gets_a_folder(run: Run, tmp_path: Path) -> None:
    save_dicom(tmp_path / "src")
    assert run().statuses == {SERIES: "denoised"}


def test_a_series_whose_uid_is_a_path_stays_inside(run: Run, tmp_path: Path) -> None:
    save_dicom(tmp_path / "src")
    for path in (tmp_path / "src").iterdir():
        dataset = pydicom.dcmread(path)
        with pytest.warns(UserWarning, match="Invalid value"):
            dataset.SeriesInstanceUID = "../../evil"
        dataset.save_as(path)
    before = {path for path in tmp_path.iterdir() if path.name != "dst"}
    batch = run()
    assert set(batch.statuses) == {"series"}
    assert {path for path in tmp_path.iterdir() if path.name != "dst"} == before


def test_other_modalities_are_left_out_without_force(run: Run, tmp_path: Path) -> None:
    save_dicom(tmp_path / "src" / "ct")
    save_series(tmp_path / "src" / "mr", [0, 1], {"Modality": "MR", "SeriesInstanceUID": OTHER_SERIES})
    assert set(run().statuses) == {"ct"}
    assert set(run("--force").statuses) == {"ct", "mr"}


def test_outputs_inside_the_source_are_no_input(run: Run, tree: Path) -> None:
    assert run(target=tree / "out").statuses.keys() == set(OUTPUTS)
    assert run(target=tree / "out").statuses == dict.fromkeys(OUTPUTS, "already finished")


def test_a_csv_names_inputs_and_outputs(run: Run, tree: Path, tmp_path: Path) -> None:
    rows = tree / "rows.csv"
    rows.write_text("\ufeffinput,output\na.nrrd,first/one.nii.gz\nstudy/two,second\nstudy/one,third.nrrd\n")
    batch = run(source=rows)
    assert batch.statuses == {"first/one.nii.gz": "denoised", "second": "denoised", "third.nrrd": "denoised"}
    assert set(contents(tmp_path / "dst")) == {"first/one.nii.gz", "third.nrrd"} | {f"second/0000{n}.dcm" for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a.nrrd,../out.nrrd", "outside the batch's folder"),
        ("a.nrrd,{tmp}/out.nrrd", "outside the batch's folder"),
        ("missing.nrrd,out.nrrd", "does not exist"),
        ("a.nrrd,out.txt", "must be a volume file"),
        ("a.nrrd,good.nrrd/out.nrrd", ""),
        ("a.nrrd,good.nrrd", "same output"),
    ],
)
def test_a_row_that_cannot_be_done_is_told_and_writes_nothing(
    run: Run, tree: Path, tmp_path: Path, row: str, sentence: str
) -> None:
    rows = tree / "rows.csv"
    rows.write_text(f"input,output\ndeep/c.mhd,other.nrrd\na.nrrd,good.nrrd\n{row.format(tmp=tmp_path)}\n")
    batch = run(source=rows)
    assert batch.code == 1
    statuses = [one["status"] for one in json.loads(batch.out)["series"]]
    assert statuses[0] == "denoised"
    assert "failed" in statuses
    reasons = " ".join(one["reason"] for one in json.loads(batch.out)["series"])
    assert sentence in reasons
    assert {path.name for path in tmp_path.iterdir()} == {"src", "dst"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("in,out\na.nrrd,b.nrrd\n", "needs 'input' and 'output'"),
        ("input,output\na.nrrd\n", "Line 2 of rows.csv lacks its input or its output"),
        ("input,output\n", "holds no CT series"),
        ("", "holds no CT series"),
        ("input,output\n\xff\xfe,x\n", "cannot be read as CSV"),
        ("input,output\nhttp://[::1/studies/1.2,x\n", "Line 2 of rows.csv: The server in an address"),
    ],
)
def test_a_csv_that_cannot_be_understood_is_refused(run: Run, tree: Path, tmp_path: Path, text: str, sentence: str) -> None:
    (tree / "rows.csv").write_bytes(text.encode("latin-1"))
    batch = run(source=tree / "rows.csv")
    assert batch.code == 1
    assert sentence in batch.err
    assert not (tmp_path / "dst").exists()


def test_a_source_without_ct_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    assert "holds no CT series" in run().err
    assert "missing does not exist; give a folder or a CSV file" in run(source=tmp_path / "missing").err
    (tmp_path / "file.txt").touch()
    assert "neither a folder nor a CSV" in run(source=tmp_path / "file.txt").err
    save_volume(tmp_path / "src" / "a.nrrd")
    assert "is the input itself" in run(target=tmp_path / "src").err


# One bad series does not stop the rest


def test_a_bad_series_is_told_and_the_rest_is_done(run: Run, tree: Path, tmp_path: Path) -> None:
    (tree / "a.nrrd").write_bytes(b"no volume")
    path = tree / "study" / "one" / "8.1-1.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    batch = run()
    assert batch.code == 1
    assert batch.err == "ldctdenoise: 2 of 5 could not be denoised; the summary says why.\n"
    good = {"deep/c.mha", "deep/er/b.nii.gz", "study/two"}
    assert batch.statuses == {name: "denoised" if name in good else "failed" for name in OUTPUTS}
    assert "a.nrrd cannot be read" in batch.reason("a.nrrd")
    assert "8.1-1.dcm" in batch.reason("study/one")
    assert not (tmp_path / "dst" / "study" / "one").exists()


def test_a_damaged_file_of_unknown_series_fails_the_series_beside_it(run: Run, tree: Path, tmp_path: Path) -> None:
    (tree / "study" / "one" / "cut.dcm").write_bytes((tree / "study" / "one" / "8.1-1.dcm").read_bytes()[:200])
    (tree / "lone").mkdir()
    (tree / "lone" / "cut.dcm").write_bytes((tree / "study" / "one" / "8.1-1.dcm").read_bytes()[:200])
    batch = run()
    failed = {name for name, status in batch.statuses.items() if status == "failed"}
    assert failed == {"study/one", "lone/cut.dcm"}
    assert "cut.dcm" in batch.reason("study/one")


def test_a_failure_of_any_kind_is_a_sentence(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denoise = one_item.denoise_file

    def fail(source: object, target: Path, *rest: object, **options: object) -> object:
        if target.name == "c.mha":
            raise MemoryError
        if target.name == "two":
            raise ZeroDivisionError("division\nby zero")
        return denoise(source, target, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(one_item, "denoise_file", fail)
    batch = run()
    assert "Not enough memory" in batch.reason("deep/c.mha")
    assert batch.reason("study/two").startswith("Unexpected failure (ZeroDivisionError: division by zero)")
    assert sorted(batch.statuses.values()) == ["denoised"] * 3 + ["failed"] * 2


def read_or_die(source: Source, target: Path, options: FileOptions) -> Input:
    """In the place of the reading: some files kill it, as they would kill a native library."""
    if isinstance(source, Path) and source.name == "a.nrrd":
        os.kill(os.getpid(), signal.SIGSEGV)
    return read_input(source, target, options)


def test_a_native_crash_costs_one_input_and_is_not_tried_for_ever(
    run: Run, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_item, "read_input", read_or_die)
    for _ in range(2):
        batch = run()
        assert batch.statuses == {name: "failed" if name == "a.nrrd" else batch.statuses[name] for name in OUTPUTS}
        assert set(batch.statuses.values()) <= {"failed", "denoised", "already finished"}
        assert "The process that read it ended (SIGSEGV)" in batch.reason("a.nrrd")
    batch = run()
    assert "is not read again" in batch.reason("a.nrrd")
    assert not (tmp_path / "dst" / "a.nrrd").exists()
    monkeypatch.undo()
    assert "is not read again" in run().reason("a.nrrd")
    assert run("--overwrite").statuses["a.nrrd"] == "denoised"
    monkeypatch.setattr(one_item, "read_input", read_or_die)
    save_volume(tree / "a.nrrd", 5)
    assert "SIGSEGV" in run().reason("a.nrrd")  # another content is another try


def test_a_failure_is_recorded_until_it_is_done(run: Run, tree: Path, tmp_path: Path) -> None:
    whole = (tree / "a.nrrd").read_bytes()
    (tree / "a.nrrd").write_bytes(whole[:100])
    batch = run()
    failed = tmp_path / "dst" / RECORDS / "a.nrrd.failed"
    assert json.loads(failed.read_text()) == {"reason": batch.reason("a.nrrd"), "code": "input"}
    (tree / "a.nrrd").write_bytes(whole)
    assert run().statuses["a.nrrd"] == "denoised"
    assert not failed.exists()
    record = json.loads((tmp_path / "dst" / RECORDS / "a.nrrd.json").read_text())
    assert record["slices"] == 3
    assert record["files"].keys() == {""}


def test_a_failure_makes_no_foreign_output_ours(run: Run, tree: Path, tmp_path: Path) -> None:
    foreign = save_volume(tmp_path / "dst" / "a.nrrd", 7)
    before = foreign.read_bytes()
    for _ in range(2):
        assert "no batch made it" in run().reason("a.nrrd")
    assert foreign.read_bytes() == before
    assert not (tmp_path / "dst" / RECORDS / "a.nrrd.json").exists()


def fail_to_denoise(*arguments: object, **options: object) -> None:
    raise DeviceError("Not enough memory.")


def test_what_comes_where_an_output_failed_is_not_ours(
    run: Run, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(one_item, "denoise_file", fail_to_denoise)
        assert set(run().statuses.values()) == {"failed"}
    mine = save_volume(tmp_path / "dst" / "a.nrrd", 7)
    before = mine.read_bytes()
    assert "no batch made it" in run().reason("a.nrrd")
    assert mine.read_bytes() == before


def test_a_failure_leaves_the_record_of_what_it_would_have_replaced(
    run: Run, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    with monkeypatch.context() as patch:
        patch.setattr(one_item, "denoise_file", fail_to_denoise)
        assert set(run("--blend", 0.5).statuses.values()) == {"failed"}
    assert set(run().statuses.values()) == {"already finished"}
    with monkeypatch.context() as patch:
        patch.setattr(one_item, "denoise_file", fail_to_denoise)
        run("--blend", 0.5)
    mine = save_volume(tmp_path / "dst" / "a.nrrd", 7)
    before = mine.read_bytes()
    assert "was changed since a batch made it" in run("--blend", 0.5).reason("a.nrrd")
    assert mine.read_bytes() == before


def die_at(moment: str) -> None:
    """Let this process end without any clean-up while it makes a.nrrd or the series one."""
    put, replace_folder, denoise = files._put, WorkFolder.replace_folder, one_item.denoise_file

    def die_in_denoise(source: Any, target: Path, *rest: Any, **options: Any) -> Any:
        return os._exit(9) if moment == "computed" else denoise(source, target, *rest, **options)

    def die_around(step: Callable[..., Any], is_output: Callable[..., bool]) -> Callable[..., Any]:
        def die(*arguments: Any, **options: Any) -> Any:
            if is_output(*arguments) and moment == "to be placed":
                os._exit(9)
            result = step(*arguments, **options)
            if is_output(*arguments) and moment == "placed":
                os._exit(9)
            return result

        return die

    one_item.denoise_file = die_in_denoise
    files._put = die_around(put, lambda new, place: place.name == "a.nrrd")
    WorkFolder.replace_folder = die_around(replace_folder, lambda work, new, place, names: True)  # type: ignore[method-assign]


@pytest.mark.parametrize("moment", ["computed", "to be placed", "placed"])
@pytest.mark.parametrize(("source", "output"), [("a.nrrd", "a.nrrd"), ("study/one", "one")])
def test_what_comes_where_a_run_was_killed_is_not_ours_and_the_rest_is(
    run: Run, tree: Path, tmp_path: Path, tiny_model: Path, source: str, output: str, moment: str
) -> None:
    rows, place = tmp_path / "rows.csv", tmp_path / "dst" / output
    rows.write_text(f"input,output\nsrc/{source},{output}\n")
    assert run(source=rows).code == 0
    arguments = ["batch", str(rows), str(tmp_path / "dst"), "--model", str(tiny_model), "--device", "cpu", "--blend", "0.5"]
    code = (
        f"from {__name__} import die_at; from LDCTDenoiseLib.commands.command_line import main; "
        f"die_at({moment!r}); main({arguments!r})"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert killed.returncode == 9, f"it was not killed there: {killed.stderr}"
    left = tmp_path / "left"
    place.rename(left)
    (save_volume if output == "a.nrrd" else save_dicom)(place)
    mine = contents(tmp_path / "dst")
    assert "no batch made it" in run("--blend", 0.5, source=rows).reason(output)
    assert contents(tmp_path / "dst") == mine
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    left.rename(place)
    assert run("--blend", 0.5, source=rows).statuses == {output: "denoised"}
    assert run("--blend", 0.5, source=rows).statuses == {output: "already finished"}


def test_warnings_stand_by_their_series(run: Run, tmp_path: Path) -> None:
    save_dicom(tmp_path / "src" / "gap", slices=5)
    (tmp_path / "src" / "gap" / "8.1-2.dcm").unlink()
    save_dicom(tmp_path / "src" / "whole", OTHER_SERIES)
    batch = run("--jobs", 4)
    assert "jump by 5 mm" in batch.warnings("gap")[0]
    assert batch.warnings("whole") == []


# What is done stays done


def test_a_second_run_does_nothing(run: Run, tree: Path, tmp_path: Path) -> None:
    run()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "dst").rglob("*")}
    again = run()
    assert again.code == 0
    assert again.statuses == dict.fromkeys(OUTPUTS, "already finished")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "dst").rglob("*")} == before


def test_a_changed_input_is_done_again(run: Run, tree: Path, tmp_path: Path) -> None:
    run()
    before = contents(tmp_path / "dst")
    save_volume(tree / "a.nrrd", 9)
    dataset = pydicom.dcmread(tree / "study" / "one" / "8.1-1.dcm")
    dataset.PixelData = dataset.pixel_array[::-1].tobytes()
    dataset.save_as(tree / "study" / "one" / "8.1-1.dcm")
    again = {"a.nrrd", "study/one"}
    assert run().statuses == {name: "denoised" if name in again else "already finished" for name in OUTPUTS}
    assert contents(tmp_path / "dst")["a.nrrd"] != before["a.nrrd"]


def test_a_touched_input_is_the_same_input(run: Run, tree: Path) -> None:
    run()
    for path in tree.rglob("*"):
        os.utime(path)
    assert set(run().statuses.values()) == {"already finished"}


@pytest.mark.parametrize("options", [("--blend", 0.5), ("--levels", 1), ("--precision", "bfloat16"), ("--region", "body")])
def test_other_options_do_it_again(run: Run, tree: Path, options: tuple[object, ...]) -> None:
    run()
    assert set(run(*options).statuses.values()) == {"denoised"}
    assert set(run(*options).statuses.values()) == {"already finished"}


def test_another_model_does_it_again(run: Run, tree: Path, tmp_path: Path) -> None:
    from LDCTDenoiseLib.models.model_file import ModelInfo, save_model
    from Testing.conftest import random_cascade

    cascade = random_cascade(seed=5)
    save_model(cascade, ModelInfo("other", cascade.levels), tmp_path / "other.safetensors")
    run()
    assert set(run("--model", tmp_path / "other.safetensors").statuses.values()) == {"denoised"}


def test_a_missing_output_is_done_again(run: Run, tree: Path, tmp_path: Path) -> None:
    run()
    (tmp_path / "dst" / "a.nrrd").unlink()
    shutil.rmtree(tmp_path / "dst" / "study" / "two")
    again = {"a.nrrd", "study/two"}
    assert run().statuses == {name: "denoised" if name in again else "already finished" for name in OUTPUTS}


@pytest.mark.parametrize("left", [0, 1, 300, "zeros"])
def test_an_output_that_lost_content_is_done_again(run: Run, tree: Path, tmp_path: Path, left: int | str) -> None:
    run()
    before = contents(tmp_path / "dst")
    for file in ("a.nrrd", "deep/c.mha", "deep/er/b.nii.gz", "study/two/00002.dcm"):
        path = tmp_path / "dst" / file
        whole = path.read_bytes()
        path.write_bytes(bytes(len(whole)) if isinstance(left, str) else whole[:left])
    (tmp_path / "dst" / "study" / "one" / "00001.dcm").unlink()
    assert run().statuses == dict.fromkeys(OUTPUTS, "denoised")
    after = contents(tmp_path / "dst")
    assert after.keys() == before.keys()
    assert {name: after[name] for name in after if not name.endswith(".dcm")} == {
        name: before[name] for name in before if not name.endswith(".dcm")
    }


def test_what_a_batch_did_not_write_is_not_replaced_without_overwrite(run: Run, tree: Path, tmp_path: Path) -> None:
    foreign = save_volume(tmp_path / "dst" / "a.nrrd", 7)
    before = foreign.read_bytes()
    batch = run()
    assert "no batch made it; pass --overwrite" in batch.reason("a.nrrd")
    assert foreign.read_bytes() == before
    assert run("--overwrite").statuses["a.nrrd"] == "denoised"
    assert foreign.read_bytes() != before


def test_an_output_that_someone_changed_is_not_replaced_without_overwrite(run: Run, tree: Path, tmp_path: Path) -> None:
    run()
    changed = tmp_path / "dst" / "a.nrrd"
    save_volume(changed, 7)
    shutil.copy(tmp_path / "dst" / "study" / "one" / "00001.dcm", tmp_path / "dst" / "study" / "one" / "00002.dcm")
    before = changed.read_bytes()
    batch = run()
    assert "was changed since a batch made it" in batch.reason("a.nrrd")
    assert "was changed since a batch made it" in batch.reason("study/one")
    assert changed.read_bytes() == before
    statuses = run("--overwrite").statuses
    assert {statuses[name] for name in ("a.nrrd", "study/one")} == {"denoised"}


def test_an_output_that_someone_changed_into_what_is_not_read_here_is_not_replaced(run: Run, tree: Path, tmp_path: Path) -> None:
    run()
    target = tmp_path / "dst"
    colours = sitk.GetImageFromArray(np.zeros((3, 16, 16, 3), np.uint8), isVector=True)
    sitk.WriteImage(colours, str(target / "a.nrrd"))
    shutil.copy(tree / "a.nrrd", target / "deep" / "c.mha")  # of another format
    volume = sitk.ReadImage(str(tree / "a.nrrd"))
    sitk.WriteImage(sitk.JoinSeries([volume, volume]), str(target / "deep" / "er" / "b.nii.gz"))
    image = pydicom.dcmread(target / "study" / "one" / "00001.dcm")
    image.PatientComments = "read by me"
    image.file_meta.TransferSyntaxUID = MPEG2MPML  # which nothing here decodes
    image.PixelData = pydicom.encaps.encapsulate([b"a film"])
    image["PixelData"].is_undefined_length = True
    image.save_as(target / "study" / "one" / "00001.dcm")
    (target / "study" / "two" / "00002.dcm").write_text("mine")
    before = contents(target)
    batch = run()
    assert all("was changed since a batch made it" in batch.reason(output) for output in OUTPUTS)
    assert contents(target) == before


def test_a_whole_file_is_not_damaged_for_want_of_a_reader_or_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_volume(tmp_path / "a.nrrd")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"encoding: gzip", b"encoding: bzip2"))
    assert not is_damaged(path)
    path.write_bytes(whole)
    monkeypatch.setattr(memory, "free_memory", lambda: 1000)
    assert not is_damaged(path)
    monkeypatch.undo()
    path.write_bytes(whole[:-1])
    assert is_damaged(path)


def test_a_volume_that_came_meanwhile_is_not_replaced_without_overwrite(
    run: Run, tree: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = Denoiser.__call__

    def let_it_come(self: Denoiser, hu: np.ndarray, **how: Any) -> np.ndarray:
        for folder in ("one", "dst"):
            (tmp_path / folder / "a.nrrd").write_text("mine")
        return compute(self, hu, **how)

    monkeypatch.setattr(Denoiser, "__call__", let_it_come)
    (tmp_path / "one").mkdir()
    (tmp_path / "rows.csv").write_text("input,output\nsrc/a.nrrd,a.nrrd\n")
    batch = run(source=tmp_path / "rows.csv")
    assert batch.reason("a.nrrd").endswith("a.nrrd was made meanwhile; pass --overwrite to replace it, or choose another name.")
    assert "no batch made it" in run(source=tmp_path / "rows.csv").reason("a.nrrd")
    (tmp_path / "one" / "a.nrrd").unlink()
    with pytest.raises(OutputError, match="was made meanwhile"):
        denoise_file(tree / "a.nrrd", tmp_path / "one" / "a.nrrd", Denoiser(tiny_model, device="cpu"))
    assert {(tmp_path / folder / "a.nrrd").read_text() for folder in ("one", "dst")} == {"mine"}
    assert run("--overwrite", source=tmp_path / "rows.csv").statuses == {"a.nrrd": "denoised"}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"input": 1}', b"\xff"])
def test_a_record_that_is_damaged_is_no_record(run: Run, tree: Path, tmp_path: Path, content: bytes) -> None:
    run()
    (tmp_path / "dst" / RECORDS / "a.nrrd.json").write_bytes(content)
    assert run().statuses["a.nrrd"] == "failed"
    assert run("--overwrite").statuses["a.nrrd"] == "denoised"


def test_an_input_that_changes_meanwhile_is_told_and_done_again(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    denoise = one_item.denoise_file

    def change_afterwards(source: object, target: Path, *rest: object, **options: object) -> object:
        result = denoise(source, target, *rest, **options)  # type: ignore[arg-type]
        if target.name == "a.nrrd":
            save_volume(tree / "a.nrrd", 8)
        return result

    monkeypatch.setattr(one_item, "denoise_file", change_afterwards)
    assert "changed meanwhile" in run().reason("a.nrrd")
    monkeypatch.undo()
    assert run().statuses["a.nrrd"] == "denoised"


# Dry run, summary, jobs


def test_a_dry_run_writes_nothing_and_loads_no_model(
    run: Run, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "read_model", lambda name: pytest.fail("loaded"))
    assert run("--dry-run").statuses == dict.fromkeys(OUTPUTS, "to do")
    assert not (tmp_path / "dst").exists()
    monkeypatch.undo()
    run()
    save_volume(tree / "a.nrrd", 3)
    before = contents(tmp_path / "dst")
    statuses = run("--dry-run").statuses
    assert statuses == {name: "to do" if name == "a.nrrd" else "already finished" for name in OUTPUTS}
    assert contents(tmp_path / "dst") == before


def test_slices_within_a_series_and_failures_are_told_as_they_come(
    tree: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "a.nrrd").write_text("no volume")
    options = ["--model", str(tiny_model), "--device", "cpu", "--batch-size", "1"]
    assert main(["batch", str(tree), str(tmp_path / "dst"), *options]) == 1
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert len([line for line in lines if "a.nrrd: " in line and "cannot be read" in line]) == 1
    assert any(line.startswith("Batch: ") and "1 of 3 slices" in line for line in lines), lines
    assert "slices" not in [line for line in lines if line.startswith("Batch: ")][-1]  # nothing is computed any more


def test_the_table_tells_every_series_and_the_counts(
    run: Run, tree: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "a.nrrd").write_bytes(b"no volume")
    arguments = ["batch", tree, tmp_path / "dst", "--model", tiny_model, "--device", "cpu", "--quiet"]
    assert main([str(one) for one in arguments]) == 1
    *lines, counts, left_out = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == OUTPUTS
    assert left_out == "Files left out: 2 that are not DICOM."
    assert "a.nrrd cannot be read" in lines[0]
    assert "3 slices" in lines[1]
    assert counts == "1 failed, 4 denoised"


def test_reading_and_writing_overlap_with_computing(run: Run, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, most, together = set(), 0, threading.Lock()
    denoise = one_item.denoise_file

    def count(source: object, target: Path, *rest: object, **options: object) -> object:
        nonlocal most
        with together:
            at_work.add(target)
            most = max(most, len(at_work))
        try:
            return denoise(source, target, *rest, **options)  # type: ignore[arg-type]
        finally:
            at_work.discard(target)

    monkeypatch.setattr(one_item, "denoise_file", count)
    assert set(run("--jobs", 3).statuses.values()) == {"denoised"}
    assert 1 < most <= 3


def test_many_jobs_give_what_one_gives(run: Run, tree: Path, tmp_path: Path) -> None:
    run("--jobs", 1, target=tmp_path / "one")
    run("--jobs", 5, target=tmp_path / "five")
    one, five = contents(tmp_path / "one"), contents(tmp_path / "five")
    assert {name for name in one if not name.endswith(".dcm")} == {name for name in five if not name.endswith(".dcm")}
    for name in one:
        if name.endswith(".dcm"):
            first, second = (pydicom.dcmread(tmp_path / folder / name) for folder in ("one", "five"))
            assert first.PixelData == second.PixelData
        else:
            assert one[name] == five[name]


def test_two_batches_do_not_share_a_folder(run: Run, tree: Path, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    (tmp_path / "dst" / RECORDS).mkdir(parents=True)
    with (tmp_path / "dst" / RECORDS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        batch = run()
    assert batch.code == 1
    assert "Another batch is writing to" in batch.err
    assert contents(tmp_path / "dst") == {}
    assert run().code == 0


def test_an_output_folder_that_is_not_writable_is_refused(run: Run) -> None:
    with closed_folder() as folder:

        def run_main() -> str:
            with contextlib.redirect_stderr(io.StringIO()) as err:
                code = main(["batch", str(folder / "rows.csv"), str(folder / "dst"), "--device", "cpu", "--quiet"])
            return f"{code} {err.getvalue()}"

        save_volume(folder / "in.nrrd")
        (folder / "rows.csv").write_text("input,output\nin.nrrd,out.nrrd\n")
        for path in folder.iterdir():
            path.chmod(0o644)
        run("--dry-run", source=folder / "rows.csv")  # loads what an ordinary user may not read of root's Python
        answer = as_nobody(run_main)
        assert answer.startswith(f"1 ldctdenoise: {folder / 'dst'} cannot be written (Permission denied)")
