"""The power is cut: what a disk holds at that moment is mounted again, and the next run goes on from there.

A disk image in a file is mounted; processes are stopped and the file is copied, which is what the disk would hold: what was
not synced is not in it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest

from LDCTDenoiseLib.denoising.batch.records import FOLDER as RECORDS
from LDCTDenoiseLib.system.work_folder import TEMPORARY_PREFIX
from Testing.commands.test_command_line import run_process
from Testing.conftest import REPOSITORY
from Testing.dicom.dicom_files import make_slice, save

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="loop devices and ext4 are Linux's")]
SLICES, SERIES, CUTS = 20, 12, 10
COMMIT_SECONDS = 7
"""ext4 writes names every 5 s, and the content of files much later."""


class Disk:
    """An ext4 file system in a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.image, self.place = folder / "image", folder / "disk"

    @contextmanager
    def mounted(self, image: Path | None = None) -> Iterator[Path]:
        """Mount the disk, or a copy of it as the power's return finds it."""
        image = image or self.image
        place = self._folder / f"at {image.name}"
        place.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk image can be mounted here: {done.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)

    def cut(self, number: int) -> Path:
        """A copy of what is on the disk; nobody may be writing."""
        copy, again = self._folder / f"cut{number}", self._folder / "again"
        for _ in range(20):
            for one in (copy, again):
                shutil.copyfile(self.image, one)
            if copy.read_bytes() == again.read_bytes():
                again.unlink()
                return copy
        raise AssertionError("the disk is written to all the time")


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    one = Disk(tmp_path)
    with one.image.open("wb") as file:
        file.truncate(48 * 2**20)
    maker = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if maker is None:
        pytest.skip("no mkfs.ext4 (Debian package e2fsprogs)")
    subprocess.run([maker, "-q", one.image], check=True)
    return one


def save_source(folder: Path, series: int) -> None:
    for number in range(series):
        uid = f"2.25.{number + 1}"
        for index in range(SLICES):
            stored = np.random.default_rng(100 * number + index).normal(700, 200, (24, 24)).astype(np.uint16)
            tags: dict[str, object] = {"SeriesInstanceUID": uid, "SOPInstanceUID": f"{uid}.{index + 1}"}
            save(make_slice(index, tags, stored), folder / f"{number:02d}" / f"{index}.dcm")


def assert_whole(folder: Path) -> None:
    found = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    assert len(found) == SLICES
    assert all(one.pixel_array.any() for one in found)


def start(arguments: list[object]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "LDCTDenoiseLib", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def cut_at_random_moments(disk: Disk, process: subprocess.Popen[bytes], begun: Path, chance: random.Random) -> list[Path]:
    """Copies of the disk at so many moments of a run, once something is there, and one 7 s after its end."""
    while not begun.exists():
        assert process.poll() is None
        time.sleep(0.005)
    cuts: list[Path] = []
    while len(cuts) < CUTS and process.poll() is None:
        time.sleep(chance.uniform(0, 0.1))
        os.killpg(process.pid, signal.SIGSTOP)
        try:
            cuts.append(disk.cut(len(cuts)))
        finally:
            os.killpg(process.pid, signal.SIGCONT)
    assert process.wait(120) == 0
    time.sleep(COMMIT_SECONDS)
    return [*cuts, disk.cut(len(cuts))]


def test_a_batch_goes_on_after_the_power_was_cut(
    tiny_model: Path, tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    save_source(tmp_path / "src", SERIES)
    names = [f"{number:02d}" for number in range(SERIES)]

    def command(place: Path) -> list[object]:
        return ["batch", tmp_path / "src", place / "dst", "--model", tiny_model, "--device", "cpu", "--jobs", 1, "--quiet"]

    with disk.mounted() as place:
        process = start(command(place))
        cuts = cut_at_random_moments(disk, process, place / "dst" / "00", random.Random(1))
    whole = 0
    for cut in cuts:
        with disk.mounted(cut) as place:
            there = [path for path in (place / "dst").iterdir() if not path.name.startswith(".")]
            for path in there:
                assert_whole(path)
            whole += len(there)
            outcome = run_process(*command(place))
            assert outcome.code == 0, outcome.out + outcome.err
            left = {path.name for path in (place / "dst").iterdir() if not path.name.startswith(TEMPORARY_PREFIX)}
            assert left == {RECORDS, *names}
            for name in names:
                assert_whole(place / "dst" / name)
            if cut is cuts[-1]:  # the command had ended: all that it said is true
                assert f"{SERIES} already finished" in outcome.out
    with capsys.disabled():
        print(f"\nbatch: {len(cuts)} power cuts, {whole} outputs there at the cut, all whole; 0 lost, 0 half-written")
    assert len(cuts) > CUTS // 2


def test_an_output_that_is_replaced_is_old_or_new_after_the_power_was_cut(
    tiny_model: Path, tmp_path: Path, disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    save_source(tmp_path / "src", 1)
    code = """
import sys
from LDCTDenoiseLib.commands.command_line import main
for number in range(40):
    assert main(["denoise", *sys.argv[1:], "--overwrite", "--quiet", "--blend", str(number / 100)]) == 0
"""
    with disk.mounted() as place:
        arguments: list[object] = [tmp_path / "src", place / "out", "--model", tiny_model, "--device", "cpu"]
        assert run_process("denoise", *arguments).code == 0
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        first = (place / "out").stat().st_ino
        while not (place / "out").exists() or (place / "out").stat().st_ino == first:
            assert process.poll() is None
            time.sleep(0.005)
        cuts = cut_at_random_moments(disk, process, place / "out", random.Random(2))
    for cut in cuts:
        with disk.mounted(cut) as place:
            assert_whole(place / "out")
            assert run_process("denoise", tmp_path / "src", place / "out", *arguments[2:], "--overwrite").code == 0
            assert_whole(place / "out")
    with capsys.disabled():
        print(f"\ndenoise --overwrite: {len(cuts)} power cuts, the output whole at each; 0 lost, 0 half-written")
    assert len(cuts) > CUTS // 2
