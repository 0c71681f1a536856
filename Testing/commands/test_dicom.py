"""DICOM on the command line: ``series``, and ``denoise`` of a folder to a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

from LDCTDenoiseLib.denoising.batch import items
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.commands.test_command_line import Run, assert_refused, contents, run, run_process
from Testing.conftest import REPOSITORY
from Testing.dicom.dicom_files import OTHER_SERIES, SERIES, make_enhanced, make_slice, save, save_series

__all__ = ["run"]  # a fixture


def test_series_lists_what_helps_to_choose(run: Run, tmp_path: Path) -> None:
    tags: dict[str, object] = {"ConvolutionKernel": "B40f", "KVP": 120, "XRayTubeCurrent": 184, "CTDIvol": 8.25}
    save_series(tmp_path / "thick", [0, 1, 2], tags)
    thin = {"SeriesInstanceUID": OTHER_SERIES, "SeriesDescription": "thin", "ConvolutionKernel": "B70f", "SliceThickness": 1}
    save_series(tmp_path / "thin", [0, 1], thin)
    outcome = run("series", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        SERIES,
        "    phantom",
        "    kernel B40f; 120 kV, 184 mA, CTDIvol 8.25 mGy",
        "    3 slices of 6 x 8, 0.7 x 0.8 mm, every 2.5 mm, 3 mm thick",
        OTHER_SERIES,
        "    thin",
        "    kernel B70f; dose not told",
        "    2 slices of 6 x 8, 0.7 x 0.8 mm, every 2.5 mm, 1 mm thick",
    ]


def test_series_tells_of_frames_gaps_tilt_and_acquisitions(run: Run, tmp_path: Path) -> None:
    save(make_enhanced([0, 1, 3]), tmp_path / "enhanced.dcm")
    out = run("series", tmp_path).out
    assert "kernel B40f; 120 kV, 200 mA, CTDIvol 8.5 mGy" in out
    assert "3 slices of 6 x 8, 0.7 x 0.8 mm, every 2.5 mm, 3 mm thick" in out
    assert "jump by 5 mm after slice 2" in out
    for number in range(4):
        tags: dict[str, object] = {
            "ImageOrientationPatient": [1, 0, 0, 0, 0.948324, -0.317305],
            "SeriesInstanceUID": OTHER_SERIES,
            "AcquisitionNumber": number // 2,
            "ImagePositionPatient": [0, 0, 2.5 * (number % 2)],
        }
        save(make_slice(number, tags), tmp_path / f"{number}.dcm")
    out = run("series", tmp_path).out
    assert out.count("2 slices of 6 x 8, 0.7 x 0.8 mm, every 2.371 mm, 3 mm thick, gantry tilt 18.5 degrees") == 2


def test_series_tells_what_cannot_be_denoised_and_goes_on(run: Run, tmp_path: Path) -> None:
    save_series(tmp_path / "mr", [0, 1], {"Modality": "MR", "SeriesInstanceUID": "1.2.3"})
    save_series(tmp_path / "odd", [0, 1], {"SeriesInstanceUID": OTHER_SERIES})
    save(make_slice(1, {"SeriesInstanceUID": OTHER_SERIES, "SOPInstanceUID": "1.2.4"}), tmp_path / "odd" / "again.dcm")
    save_series(tmp_path / "good", [0, 1])
    out = run("series", tmp_path).out
    assert "MR, 2 images: no CT" in out
    assert "cannot be denoised: Slices 2 and 3 of series 7 lie at the same place" in out
    assert "2 slices of 6 x 8" in out


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_series_of_nothing_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    sentence = "does not exist" if name == "missing" else "holds no series of slices in DICOM"
    assert_refused(run("series", tmp_path / name), sentence)


def test_a_folder_becomes_a_derived_series(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    save_series(tmp_path / "in", [0, 1, 2])
    before = contents(tmp_path / "in")
    options = ("--model", tiny_model, "--levels", 1, "--blend", 0.7, "--compress", "rle", "--series-number-offset", 50, "--json")
    outcome = run("denoise", tmp_path / "in", tmp_path / "out", *options)
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out)
    results = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert summary["series"] == [results[0].SeriesInstanceUID]
    assert summary["slices"] == [0, 3]
    assert {result.SeriesNumber for result in results} == {57}
    assert {result.file_meta.TransferSyntaxUID.name for result in results} == {"RLE Lossless"}
    assert contents(tmp_path / "in") == before
    # The voxels are those of a volume file made from the same folder.
    run("denoise", tmp_path / "in", tmp_path / "out.nrrd", *options[:6])
    np.testing.assert_array_equal(np.maximum(read_volume(tmp_path / "out.nrrd").hu, -1024), read_volume(tmp_path / "out").hu)


def test_a_dicom_file_is_an_input_and_a_text_is_none(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    save(make_enhanced([0, 1]), tmp_path / "in.dcm")
    assert run("denoise", tmp_path / "in.dcm", tmp_path / "out", "--model", tiny_model, "--levels", 1).code == 0
    assert len(list((tmp_path / "out").iterdir())) == 2
    (tmp_path / "text.dcm").write_text("no DICOM")
    outcome = run("denoise", tmp_path / "text.dcm", tmp_path / "out2", "--model", tiny_model)
    assert_refused(outcome, "The output out2 must be a volume file", 2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["in", "in/out"], "lie in each other"),
        (["in", "out.dcm"], "named as a DICOM file"),
        (["in", "out.nhdr"], "must be a volume file"),
        (["in", "missing/out"], "does not exist; create it first"),
        (["in", "out", "--axis", "1"], "leave the axis out"),
        (["in", "out", "--slices", "1:9"], "The slice range 1:9"),
        (["in", "out", "--series", "1.2.3"], "has no CT series 1.2.3"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    run: Run, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    save_series(tmp_path / "in", [0, 1])
    before = contents(tmp_path)
    outcome = run("denoise", *arguments, "--model", tiny_model, "--levels", 1)
    assert_refused(outcome, sentence, 2 if "must be a volume file" in sentence else 1)
    assert contents(tmp_path) == before


def test_what_is_left_out_is_said_with_quiet_and_in_json(tmp_path: Path, tiny_model: Path) -> None:
    save_series(tmp_path / "in", list(range(12)))
    for number in (3, 7, 11):
        (tmp_path / "in" / f"{number}.dcm").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_text("a note")
    options = ("--model", tiny_model, "--levels", 1, "--quiet", "--json")
    outcome = run_process("denoise", tmp_path / "in", tmp_path / "out", *options)
    assert_refused(outcome, "11.dcm cannot be read (it is empty); get the file again. There are 2 more like this.")
    assert "pass --allow-missing to go on without it" in outcome.err
    outcome = run_process("denoise", tmp_path / "in", tmp_path / "out", *options, "--allow-missing")
    assert outcome.code == 0
    assert len(list((tmp_path / "out").iterdir())) == 9
    warnings = json.loads(outcome.out)["warnings"]
    assert warnings == outcome.err.splitlines()
    assert warnings[:2] == [
        "Files left out: 1 that is not DICOM.",
        "Left out: 3 that may be slices and cannot be read (11.dcm, 3.dcm, 7.dcm).",
    ]
    assert "a slice is missing" in warnings[2]


def test_a_batch_says_what_is_left_out(tmp_path: Path, tiny_model: Path) -> None:
    save_series(tmp_path / "in" / "good", [0, 1])
    save_series(tmp_path / "in" / "bad", [0, 1, 2], {"SeriesInstanceUID": OTHER_SERIES})
    (tmp_path / "in" / "bad" / "2.dcm").write_bytes(b"")
    save_series(tmp_path / "in" / "mr", [0, 1], {"SeriesInstanceUID": "1.2.3", "Modality": "MR"})
    (tmp_path / "in" / "notes.txt").write_text("a note")
    options = ("--model", tiny_model, "--levels", 1, "--quiet")
    outcome = run_process("batch", tmp_path / "in", tmp_path / "out", *options)
    assert outcome.code == 1
    assert "2.dcm cannot be read (it is empty); get the file again. Or pass --allow-missing" in outcome.out
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."] == ["good"]
    told = ["Files left out: 1 that is not DICOM.", f"Left out: a series in {tmp_path / 'in' / 'mr'}, which is MR."]
    assert outcome.out.splitlines()[-2:] == told
    assert [line for line in outcome.err.splitlines() if "eft out" in line] == told
    outcome = run_process("batch", tmp_path / "in", tmp_path / "out", *options, "--allow-missing", "--json")
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out)
    assert "Left out: 1 that may be slices and cannot be read (2.dcm)." in summary["warnings"]
    assert {one["output"]: one["slices"] for one in summary["series"]} == {"bad": 2, "good": 2}


def test_a_batch_leaves_out_what_this_program_made(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    save_series(tmp_path / "in" / "source", [0, 1])
    options = ("--model", tiny_model, "--levels", 1, "--quiet")
    assert run("denoise", tmp_path / "in" / "source", tmp_path / "in" / "derived", *options).code == 0
    outcome = run("batch", tmp_path / "in", tmp_path / "out", *options)
    assert outcome.code == 0
    assert "which was denoised by this program already" in outcome.out
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."] == ["source"]
    outcome = run("denoise", tmp_path / "in" / "derived", tmp_path / "again", *options)
    assert_refused(outcome, "The series was denoised by this program already; give its source. Or pass --force")


def test_a_slice_that_arrives_after_the_batch_began_fails_its_series(
    run: Run, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_series(tmp_path / "in" / "one", [0, 1])
    save_series(tmp_path / "in" / "two", [0, 1], {"SeriesInstanceUID": OTHER_SERIES})
    find = items.find_items

    def meanwhile(*arguments: object, **options: object) -> object:
        found = find(*arguments, **options)  # type: ignore[arg-type]
        save(make_slice(2), tmp_path / "in" / "one" / "2.dcm")
        return found

    monkeypatch.setattr(items, "find_items", meanwhile)
    outcome = run("batch", tmp_path / "in", tmp_path / "out", "--model", tiny_model, "--levels", 1)
    assert outcome.code == 1
    assert "The input changed while it was read: 1 file came and 0 went, such as 2.dcm" in outcome.out
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."] == ["two"]


MISSING = """
import sys
for name in ("pylibjpeg", "libjpeg", "openjpeg", "rle", "jpeg_ls", "gdcm"):
    sys.modules[name] = None
from LDCTDenoiseLib.commands.command_line import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_missing_decoder_or_encoder_is_named_with_its_extra(tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("jpeg_ls", reason="needs the extra to write the file: pip install 'ldctdenoise[dicom]'")
    stored = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40)
    dataset = make_slice(stored=stored)
    dataset.compress("1.2.840.10008.1.2.4.80", generate_instance_uid=False)
    save(dataset, tmp_path / "compressed" / "0.dcm")
    save_series(tmp_path / "plain", [0])

    def told(*arguments: object) -> str:
        command = [sys.executable, "-c", MISSING, "denoise", *map(str, arguments), "--model", str(tiny_model), "--quiet"]
        process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=120)
        assert process.returncode == 1
        return process.stderr

    reading = told(tmp_path / "compressed", tmp_path / "out")
    assert "needs a decoder for JPEG-LS Lossless Image Compression" in reading
    writing = told(tmp_path / "plain", tmp_path / "out", "--compress", "jpeg2000")
    assert "Writing jpeg2000 needs an encoder that is not installed" in writing
    for said in (reading, writing):
        assert "pip install 'ldctdenoise[dicom]'" in said
