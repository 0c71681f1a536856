"""Inputs and outputs that are not where, or what, one would think; what hangs ends the test run."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from Testing.commands.test_command_line import Outcome, body, run_process, save
from Testing.dicom.dicom_files import make_slice, save_series
from Testing.dicom.dicom_files import save as save_dicom

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices and mounts of POSIX systems")


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    signal.alarm(120)
    yield
    signal.alarm(0)


@pytest.fixture
def usual(tiny_model: Path) -> list[object]:
    return ["--model", tiny_model, "--device", "cpu", "--levels", 1]


def refused(outcome: Outcome, sentence: str) -> None:
    assert outcome.code == 1, outcome.err
    assert sentence in outcome.err
    assert "Traceback" not in outcome.err


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# Inputs


def test_a_source_with_the_name_of_a_temporary_file_is_kept(tmp_path: Path, usual: list[object]) -> None:
    source = save(tmp_path / ".ldctdenoise-scan.nrrd", body())
    (tmp_path / ".ldctdenoise-mine").mkdir()
    save_series(tmp_path / ".ldctdenoise-mine" / "in", [0, 1])
    before = source.read_bytes()
    assert run_process("denoise", source, tmp_path / "out.nrrd", *usual).code == 0
    assert source.read_bytes() == before
    assert run_process("denoise", tmp_path / ".ldctdenoise-mine" / "in", tmp_path / "out", *usual).code == 0
    assert len(names(tmp_path / "out")) == 2


def test_pipes_and_devices_are_refused(tmp_path: Path, usual: list[object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.nrrd")
    refused(run_process("series", tmp_path / "pipe"), "a device or a pipe")
    refused(run_process("series", "/dev/zero"), "a device or a pipe")
    refused(run_process("denoise", tmp_path / "pipe.nrrd", tmp_path / "out.nrrd", *usual), "not a regular file")
    source = save(tmp_path / "in.nrrd", body())
    refused(run_process("denoise", source, tmp_path / "pipe.nrrd", *usual, "--overwrite"), "a device or a pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe.nrrd").stat().st_mode)


def test_pipes_among_inputs_outputs_and_records_of_a_batch_do_not_hang(tmp_path: Path, usual: list[object]) -> None:
    source, target = tmp_path / "src", tmp_path / "dst"
    for name in ("a.nrrd", "b.nrrd", "c.nrrd"):
        source.mkdir(exist_ok=True)
        save(source / name, body())
    os.mkfifo(source / "pipe.dcm")
    records = target / ".ldctdenoise.batch"
    records.mkdir(parents=True)
    os.mkfifo(target / "a.nrrd")
    os.mkfifo(records / "b.nrrd.json")
    outcome = run_process("batch", source, target, *usual, "--quiet")
    assert outcome.code == 1
    assert "1 failed, 2 denoised" in outcome.out or "2 denoised, 1 failed" in outcome.out
    (records / "lock").unlink()
    os.mkfifo(records / "lock")
    refused(run_process("batch", source, target, *usual, "--quiet"), "cannot be written")


# Outputs


@pytest.mark.parametrize("target", [".", "../work"])
def test_the_current_folder_is_refused_before_computing(
    tmp_path: Path, usual: list[object], monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    save_series(tmp_path / "in", [0, 1])
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    outcome = run_process("denoise", tmp_path / "in", target, *usual)
    refused(outcome, "the current folder")
    assert "Device" not in outcome.err
    assert names(tmp_path / "work") == []


def test_a_mount_point_is_refused_before_computing(tmp_path: Path, usual: list[object]) -> None:
    save_series(tmp_path / "in", [0, 1])
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"nothing can be mounted here: {made.stderr.strip()}")
    try:
        outcome = run_process("denoise", tmp_path / "in", disk, *usual)
        refused(outcome, "is a mount point")
        assert "Device" not in outcome.err
        assert run_process("denoise", tmp_path / "in", disk / "new", *usual).code == 0
        assert names(disk) == ["new", "new/00001.dcm", "new/00002.dcm"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_link_to_a_folder_is_followed_and_its_rights_stay(tmp_path: Path, usual: list[object]) -> None:
    save_series(tmp_path / "in", [0, 1])
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "out").symlink_to("real")
    for options in ([], ["--overwrite"]):
        assert run_process("denoise", tmp_path / "in", tmp_path / "out", *usual, *options).code == 0
        assert names(tmp_path / "real") == ["00001.dcm", "00002.dcm"]
        assert (tmp_path / "out").is_symlink()
        assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o700


# The terminal


ORDERS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def test_a_header_gives_no_orders_to_the_terminal(tmp_path: Path, usual: list[object]) -> None:
    for number in range(2):
        one = make_slice(number, {"SeriesDescription": f"head{ORDERS}", "RescaleType": ORDERS[:10]})
        save_dicom(one, tmp_path / "in" / f"{number}.dcm")
        other = make_slice(number, {"SeriesInstanceUID": "1.2.3", "SOPInstanceUID": f"1.2.3.{number}", "SeriesNumber": "5"})
        other.SeriesDescription = f"neck{ORDERS}"
        save_dicom(other, tmp_path / "in" / f"1{number}.dcm")
    weird = tmp_path / "in" / f"{ORDERS.replace('/', '')}.nrrd"
    weird.write_bytes(b"NRRD0004\nencoding: " + ORDERS.encode() + b"\n\n")
    outcomes = [
        run_process("series", tmp_path / "in"),
        run_process("denoise", tmp_path / "in", tmp_path / "out", *usual),
        run_process("denoise", weird, tmp_path / "out.nrrd", *usual),
        run_process("--debug", "denoise", weird, tmp_path / "out.nrrd", *usual),
        run_process("batch", tmp_path / "in", tmp_path / "dst", *usual),
    ]
    assert "head" in outcomes[0].out
    assert pydicom.dcmread(tmp_path / "in" / "0.dcm").SeriesDescription.startswith("head\x1b")
    for outcome in outcomes:
        printed = (outcome.out + outcome.err).replace("\n", "").replace("\r", "").replace("\t", "")
        assert "owned" in printed
        # The progress bar draws with block characters only.
        assert printed.isprintable(), [one for one in printed if not one.isprintable()]
