"""Nothing of the patient gets into what is printed, logged, or named: a marker is planted, and looked for."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.dicom import write_series
from Testing.conftest import REPOSITORY
from Testing.dicom.dicom_files import OTHER_SERIES, make_slice, save

MARKER = "ZEBRAFISH"


def plant(number: int, tags: dict[str, object] | None = None) -> Dataset:
    """A slice whose patient is the marker, in valid values and in those that pydicom warns about and quotes."""
    dataset = make_slice(number, tags)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.PatientName = f"{MARKER}^{'X' * 70}"
        dataset.PatientID = f"{MARKER}{'1' * 70}"
        dataset.add_new("PatientBirthDate", "DA", MARKER)
        dataset.add_new("PatientAge", "AS", MARKER)
        dataset.add_new("PatientWeight", "LO", MARKER)
        dataset.add_new("AccessionNumber", "SH", MARKER * 3)
        dataset.add_new("IrradiationEventUID", "UI", MARKER)
        dataset.InstitutionName = dataset.ReferringPhysicianName = dataset.PatientComments = MARKER
        dataset.private_block(0x0029, MARKER, create=True).add_new(0x10, "LO", MARKER)
    return dataset


def save_planted(folder: Path, numbers: list[int], tags: dict[str, object] | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in numbers:
            save(plant(number, tags), folder / f"{number}.dcm")
    return folder


def told(*arguments: object) -> tuple[int, str]:
    """Exit code and everything that a process of its own says."""
    process = subprocess.run(
        [sys.executable, "-m", "LDCTDenoiseLib", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=120,
    )
    return process.returncode, process.stdout + process.stderr


def test_the_marker_would_be_seen(tmp_path: Path) -> None:
    """pydicom does quote what it warns about, so that the other tests can fail."""
    source = save_planted(tmp_path, [0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        str(pydicom.dcmread(source / "0.dcm"))
    assert any(MARKER in str(warning.message) for warning in caught)


def test_a_run_says_nothing_of_the_patient(tmp_path: Path, tiny_model: Path) -> None:
    source = save_planted(tmp_path / "in", [0, 1, 3])
    code, said = told("denoise", source, tmp_path / "out", "--model", tiny_model, "--levels", 1, "--json")
    assert code == 0, said
    assert "jump by 5 mm" in said  # warnings were on
    assert MARKER not in said
    assert re.fullmatch(r"(\d{5}\.dcm\s?)+", " ".join(path.name for path in (tmp_path / "out").iterdir()))


def test_the_listing_says_nothing_of_the_patient(tmp_path: Path) -> None:
    source = save_planted(tmp_path / "in", [0, 1, 3])
    code, said = told("series", source)
    assert code == 0, said
    assert "3 slices of 6 x 8" in said
    assert MARKER not in said


def _cut(folder: Path, share: float) -> None:
    path = folder / "1.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


REFUSALS = {
    "cut off in the pixels": lambda folder: _cut(folder, 0.98),
    "cut off in the header": lambda folder: _cut(folder, 0.5),
    "gap in a volume": lambda folder: save_planted(folder, [5]),
    "two series": lambda folder: save_planted(folder / "two", [0], {"SeriesInstanceUID": OTHER_SERIES}),
    "same place": lambda folder: save_planted(folder / "two", [0], {"SOPInstanceUID": "1.2.3"}),
    "no place": lambda folder: save_planted(folder, [1], {"ImagePositionPatient": None}),
    "no number": lambda folder: (folder / "1.dcm").write_bytes(
        (folder / "1.dcm").read_bytes().replace(b"-12.5\\", MARKER[:5].encode() + b"\\")
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_nothing_of_the_patient(
    tmp_path: Path,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
    name: str,
) -> None:
    source = save_planted(tmp_path / "in", [0, 1, 2])
    REFUSALS[name](source)
    recwarn.clear()
    caplog.clear()
    level = logging.getLogger("LDCTDenoiseLib").level
    try:
        assert main(["denoise", str(source), str(tmp_path / "out.nrrd"), "--model", str(tiny_model)]) == 1
    finally:
        logging.getLogger("LDCTDenoiseLib").setLevel(level)
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith("ldctdenoise: ")
    assert MARKER[:5] not in printed.out + printed.err + caplog.text
    assert not any(MARKER[:5] in str(warning.message) for warning in recwarn)


def test_temporary_names_say_nothing_of_the_patient(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_planted(tmp_path / "in", [0, 1])
    names = []
    whole = write_series._save

    def watch(dataset: Dataset, path: Path, compression: write_series.Compression) -> None:
        whole(dataset, path, compression)
        names.extend(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*"))

    monkeypatch.setattr(write_series, "_save", watch)
    assert main(["denoise", str(source), str(tmp_path / "out"), "--model", str(tiny_model), "--levels", "1", "--quiet"]) == 0
    assert names
    assert not any(MARKER in name for name in names)
