"""``batch-report``: what all shards did, and the audit of outputs against inputs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.denoising.batch.records import FOLDER, Record, finished
from Testing.denoising.test_batch import OUTPUTS, save_dicom, save_volume, tree
from Testing.dicom.dicom_files import OTHER_SERIES, save

__all__ = ["tree"]

Report = Callable[..., tuple[int, dict]]


@pytest.fixture
def batch(tree: Path, tiny_model: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*options: object) -> int:
        arguments = ["batch", tree, tmp_path / "dst", "--model", tiny_model, "--device", "cpu", "--quiet", *options]
        return main([str(one) for one in arguments])

    return run


@pytest.fixture
def report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Report:
    def run(*options: str) -> tuple[int, dict]:
        capsys.readouterr()
        code = main(["batch-report", str(tmp_path / "dst"), "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return run


def states(told: dict) -> dict[str, str]:
    return {one["output"]: one["state"] for one in told["outputs"]}


def test_shards_are_joined(batch: Callable[..., int], report: Report) -> None:
    assert batch("--shard", "0/2") == 0
    code, told = report()
    assert code == 1
    done, missing = told["counts"]["done"], told["counts"]["missing"]
    assert (done > 0, missing > 0, done + missing) == (True, True, len(OUTPUTS))
    assert {one["reason"] for one in told["outputs"]} == {"not begun"}
    assert batch("--shard", "1/2") == 0
    code, told = report()
    assert (code, told["outputs"]) == (0, [])
    assert told["counts"] == {"done": len(OUTPUTS), "failed": 0, "missing": 0, "unexpected": 0}
    assert told["slices"] == 15
    assert told["seconds"] > 0


def test_what_is_not_as_it_should_be_is_told(batch: Callable[..., int], report: Report, tree: Path, tmp_path: Path) -> None:
    whole = (tree / "a.nrrd").read_bytes()
    (tree / "a.nrrd").write_bytes(whole[:100])
    batch()
    target = tmp_path / "dst"
    (target / "deep" / "c.mha").unlink()
    (target / "study" / "one" / "00002.dcm").unlink()
    (target / FOLDER / "deep" / "er" / "b.nii.gz.json").unlink()
    (target / "study" / "two" / "notes.txt").write_text("whose?")
    (target / "stray.nrrd").write_bytes(b"")
    save_volume(tree / "new.nrrd")
    code, told = report()
    assert code == 1
    assert states(told) == {
        "a.nrrd": "failed",
        "deep/c.mha": "missing",
        "deep/er/b.nii.gz": "missing",
        "new.nrrd": "missing",
        "study/one": "missing",
        "study/two/notes.txt": "unexpected",
        "stray.nrrd": "unexpected",
    }
    reasons = {one["output"]: one["reason"] for one in told["outputs"]}
    assert "a.nrrd cannot be read" in reasons["a.nrrd"]
    assert reasons["study/one"] == "gone: 1 of its 3 files"
    (tree / "a.nrrd").write_bytes(whole)
    batch("--overwrite")  # a folder with a stranger's file in it is not replaced
    assert states(report()[1]) == {"study/two": "failed", "stray.nrrd": "unexpected"}


def test_the_table_ends_with_the_counts(batch: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    batch()
    (tmp_path / "dst" / "a.nrrd").unlink()
    capsys.readouterr()
    assert main(["batch-report", str(tmp_path / "dst")]) == 1
    out, err = capsys.readouterr()
    first, counts = out.splitlines()
    assert first.split() == ["a.nrrd", "missing", "gone:", "1", "of", "its", "1", "file"]
    assert counts.startswith("4 done, 0 failed, 1 missing, 0 unexpected; 12 slices in ")
    assert err == "ldctdenoise: Not as it should be: 1 output; the audit has 0 objections.\n"


def test_a_folder_without_records_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["batch-report", str(tmp_path)]) == 1
    assert "holds no records of a batch" in capsys.readouterr().err


# The audit


def test_the_audit_of_a_good_batch_objects_to_nothing(batch: Callable[..., int], report: Report) -> None:
    batch()
    code, told = report("--audit")
    assert code == 0
    assert told["audit"] == {"series": 5, "slices": 15, "sample": 5, "objections": []}


def forge(target: Path, output: str) -> None:
    """Let the record say that an output is as it was made."""
    path = target / FOLDER / f"{output}.json"
    record = Record(**json.loads(path.read_text()))
    path.write_text(json.dumps(asdict(replace(finished(record, target / output), slices=3))))


def test_the_audit_finds_what_the_records_hide(batch: Callable[..., int], report: Report, tree: Path, tmp_path: Path) -> None:
    batch()
    target = tmp_path / "dst"
    image = sitk.ReadImage(str(target / "a.nrrd"))
    sitk.WriteImage(image[:, :, :2], str(target / "a.nrrd"))
    forge(target, "a.nrrd")
    moved = sitk.ReadImage(str(target / "deep" / "c.mha"))
    moved.SetOrigin((1, 2, 3))
    sitk.WriteImage(moved, str(target / "deep" / "c.mha"))
    forge(target, "deep/c.mha")
    shutil.copy(target / "study" / "one" / "00001.dcm", target / "study" / "one" / "00002.dcm")
    save_volume(tree / "deep" / "er" / "b.nii.gz", 9)
    (target / "study" / "two" / "00003.dcm").unlink()
    forge(target, "study/two")
    code, told = report("--audit")
    assert code == 1
    objections: dict[str, list[str]] = {}
    for one in told["audit"]["objections"]:
        objections.setdefault(one["output"], []).append(one["reason"])
    assert objections["a.nrrd"][0] == "The input has 16 x 16 x 3 voxels, the output 16 x 16 x 2 voxels."
    assert objections["deep/c.mha"] == ["The output has another grid than the input."]
    assert objections["study/one"] == ["The output has changed since it was made."]
    assert objections["deep/er/b.nii.gz"] == ["The input has changed since it was denoised."]
    assert objections["study/two"][0] == "The input has 3 slices, the output 2 slices."


def test_the_audit_compares_the_hu_of_a_batch_at_blend_0(batch: Callable[..., int], report: Report, tmp_path: Path) -> None:
    batch("--blend", "0")
    assert report("--audit")[0] == 0
    image = sitk.ReadImage(str(tmp_path / "dst" / "a.nrrd"))
    image[3, 3, 1] += 1
    sitk.WriteImage(image, str(tmp_path / "dst" / "a.nrrd"))
    forge(tmp_path / "dst", "a.nrrd")
    code, told = report("--audit")
    assert code == 1
    assert told["audit"]["objections"] == [
        {"output": "a.nrrd", "reason": "It was denoised with blend 0, and its HU are not the input's."}
    ]


def test_the_audit_counts_what_a_batch_reads(tiny_model: Path, tmp_path: Path, report: Report) -> None:
    """Of a folder with another modality, second copies, a slice of another spacing, two acquisitions, damaged files."""
    source = tmp_path / "src"
    for name in ("mixed", "copies", "odd", "twice", "damaged"):
        save_dicom(source / name)
    image = (source / "copies" / "8.1-0.dcm").read_bytes()
    (source / "copies" / "copy.dcm").write_bytes(image)
    (source / "damaged" / "empty.dcm").write_bytes(b"")
    (source / "damaged" / "8.1-2.dcm").write_bytes((source / "damaged" / "8.1-2.dcm").read_bytes()[:-99])
    others = {
        "mixed/pet": {"Modality": "PT", "SeriesInstanceUID": OTHER_SERIES},
        "odd/wide": {"PixelSpacing": [1, 1]},
        "twice/again": {"AcquisitionNumber": 2},
    }
    for place, tags in others.items():
        for number in range(3 if place == "twice/again" else 1):
            image = pydicom.dcmread(source / "copies" / f"8.1-{number}.dcm")
            image.SOPInstanceUID = f"{OTHER_SERIES}.{number}"
            for tag, value in tags.items():
                setattr(image, tag, value)
            save(image, source / f"{place}{number}.dcm")
    (source / "rows.csv").write_text("input,output\n" + "".join(f"{path.name},{path.name}\n" for path in source.iterdir()))
    arguments = ["batch", source / "rows.csv", tmp_path / "dst", "--model", tiny_model, "--device", "cpu", "--quiet"]
    assert main([str(one) for one in [*arguments, "--allow-missing"]]) == 0
    code, told = report("--audit")
    assert (code, told["audit"]) == (0, {"series": 5, "slices": 17, "sample": 5, "objections": []})
    (source / "damaged").rename(tmp_path / "damaged")
    rows = (source / "rows.csv").read_text()
    (source / "rows.csv").write_text(rows.replace("damaged,damaged\n", ""))
    shutil.rmtree(tmp_path / "dst")
    assert main([str(one) for one in arguments]) == 0
    code, told = report("--audit")
    assert (code, told["audit"]) == (0, {"series": 4, "slices": 15, "sample": 4, "objections": []})


def test_dicom_that_became_volumes_is_audited(tiny_model: Path, tmp_path: Path, report: Report) -> None:
    save_dicom(tmp_path / "src" / "one")
    (tmp_path / "src" / "rows.csv").write_text("input,output\none,one.nrrd\n")
    arguments = ["batch", tmp_path / "src" / "rows.csv", tmp_path / "dst", "--model", tiny_model, "--device", "cpu", "--quiet"]
    assert main([str(one) for one in arguments]) == 0
    code, told = report("--audit")
    assert (code, told["audit"]) == (0, {"series": 1, "slices": 3, "sample": 1, "objections": []})
