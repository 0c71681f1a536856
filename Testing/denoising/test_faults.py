"""What happens when the world breaks under a run: each ends in a whole output or none, and a sentence."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pydicom
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.ct.scan import Scan
from LDCTDenoiseLib.denoising import one_file as denoise_file_module
from LDCTDenoiseLib.denoising.batch.attempt import attempt
from LDCTDenoiseLib.denoising.batch.items import find_items
from LDCTDenoiseLib.denoising.batch.one_item import ItemOptions, Recipe, Status
from LDCTDenoiseLib.denoising.batch.records import FOLDER as RECORDS
from LDCTDenoiseLib.denoising.one_file import denoise_file
from LDCTDenoiseLib.dicom import ct_series
from LDCTDenoiseLib.errors import InputError, LDCTDenoiseError, OutputError, as_sentence
from LDCTDenoiseLib.inference.engine import Denoiser
from LDCTDenoiseLib.models.model_info import ModelInfo, read_info
from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.models.provenance import Provenance
from LDCTDenoiseLib.system import files
from LDCTDenoiseLib.system.child import Children
from LDCTDenoiseLib.system.work_folder import TEMPORARY_PREFIX
from LDCTDenoiseLib.volumes import volume_file
from LDCTDenoiseLib.volumes.volume_file import WRITABLE_SUFFIXES
from Testing.commands.test_command_line import start_process
from Testing.dicom.dicom_files import make_slice, save
from Testing.system.unprivileged import as_nobody, closed_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, users and file systems")

PATIENCE_S = 300
"""For a process on a machine with other work to do."""


def noisy_voxels(slices: int = 6, size: int = 48) -> np.ndarray:
    """Noise, which no compression makes small."""
    return np.random.default_rng(0).integers(-1000, 1000, (slices, size, size)).astype(np.int16)


def save_volume(path: Path, slices: int = 6) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(noisy_voxels(slices)), str(path), useCompression=True)
    return path


def save_series(folder: Path, slices: int = 6) -> Path:
    for number, voxels in enumerate(noisy_voxels(slices)):
        save(make_slice(number, stored=(voxels + 1024).astype(np.uint16)), folder / f"{number}.dcm")
    return folder


@pytest.fixture(scope="module")
def denoiser(tiny_model: Path) -> Denoiser:
    return Denoiser(tiny_model, device="cpu")


def refusal(denoiser: Denoiser, source: Path, target: Path, kind: type[LDCTDenoiseError] = InputError) -> str:
    """The sentence of a run that must fail with such an error, as a person reads it."""
    with pytest.raises(kind) as error:
        denoise_file(source, target, denoiser)
    return as_sentence(error.value)


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_a_full_disk_leaves_no_volume(denoiser: Denoiser, tmp_path: Path, small_disk: Path, suffix: str) -> None:
    source = save_volume(tmp_path / "in.nrrd", 40)
    old = save_volume(small_disk / f"old{suffix}", 1)
    sentence = refusal(denoiser, source, small_disk / f"out{suffix}", OutputError)
    assert f"out{suffix}" in sentence
    assert "written" in sentence
    assert list(small_disk.iterdir()) == [old]


def test_a_full_disk_leaves_no_dicom(denoiser: Denoiser, tmp_path: Path, small_disk: Path) -> None:
    source = save_series(tmp_path / "in", 40)
    assert "out cannot be written (No space left on device)" in refusal(denoiser, source, small_disk / "out", OutputError)
    assert list(small_disk.iterdir()) == []


def test_a_disk_that_fills_up_ends_a_batch_series_by_series(tiny_model: Path, tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "src").mkdir()
    for number in range(6):
        save_volume(tmp_path / "src" / f"{number}.nrrd", 6)
    process = start_process("batch", tmp_path / "src", small_disk / "dst", "--model", tiny_model, "--jobs", 1, "--quiet")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("ldctdenoise: ")
    assert "Traceback" not in err + out
    outputs = [path for path in (small_disk / "dst").iterdir() if path.name != RECORDS]
    assert 0 < len(outputs) < 6
    # What is said to be done is there; one more may be, whose last record found no room.
    said = {
        line.split()[0] for line in out.splitlines() if line.split()[1:2] == ["denoised"] and line.split()[0].endswith("nrrd")
    }
    assert said <= {path.name for path in outputs}
    assert len(outputs) - len(said) <= 1
    for path in outputs:
        assert_whole(path)


# Permissions


class CopyingDenoiser:
    """In the place of a denoiser, whose threads would not survive the fork that makes an ordinary user."""

    def __init__(self, info: ModelInfo, meanwhile: Callable[[], object]) -> None:
        self.info = info
        self._meanwhile = meanwhile

    def provenance(self, slices: tuple[int, int]) -> Provenance:
        return Provenance(self.info.name, self.info.model_hash, DenoisingOptions(levels=1), slices)

    def __call__(self, volume: np.ndarray, **options: object) -> np.ndarray:
        self._meanwhile()
        return volume.copy()


@pytest.mark.parametrize("kind", ["volume", "dicom"])
def test_a_folder_that_is_closed_meanwhile_gets_nothing(tiny_model: Path, kind: str) -> None:
    with closed_folder() as folder:  # pytest's own are closed to ordinary users
        source = save_volume(folder / "in.nrrd") if kind == "volume" else save_series(folder / "in")
        own = folder / "own"
        target = own / ("out.nrrd" if kind == "volume" else "out")
        info = read_info(tiny_model)
        # Loads what an ordinary user may not read of root's Python.
        denoise_file(source, folder / target.name, CopyingDenoiser(info, lambda: None))  # type: ignore[arg-type]

        def run() -> str:
            own.mkdir()
            try:
                denoise_file(source, target, CopyingDenoiser(info, lambda: own.chmod(0o555)))  # type: ignore[arg-type]
            except OutputError as error:
                return f"{as_sentence(error)} {[path.name for path in own.iterdir()]}"
            return "no error"

        folder.chmod(0o777)
        assert as_nobody(run) == f"{target} cannot be written (Permission denied); choose another output. []"


@pytest.mark.parametrize(("name", "closed"), [("in.nrrd", "in.nrrd"), ("in", "in/2.dcm")])
def test_an_input_that_may_not_be_read_is_refused(name: str, closed: str) -> None:
    with closed_folder() as folder:
        save_volume(folder / "in.nrrd")
        save_series(folder / "in")
        volume_file.read_volume(folder / name)  # loads what an ordinary user may not read of root's Python
        (folder / closed).chmod(0)

        def run() -> str:
            try:
                volume_file.read_volume(folder / name)
            except InputError as error:
                return as_sentence(error)
            return "no error"

        assert as_nobody(run).startswith(f"{Path(closed).name} cannot be read (Permission denied)")


@pytest.mark.parametrize(("happens", "reason"), [("closed", "Permission denied"), ("removed", "No such file or directory")])
def test_a_batch_tells_what_it_cannot_read(tiny_model: Path, happens: str, reason: str) -> None:
    with closed_folder() as folder:
        (folder / "src").mkdir()
        source = save_volume(folder / "src" / "in.nrrd")
        (item,) = find_items(folder / "src", folder / "dst")
        made = CopyingDenoiser(read_info(tiny_model), lambda: None).provenance((0, 0))
        stop = threading.Event()
        options = ItemOptions(Recipe(made), None, Children(stop, "LDCTDenoiseLib", bool), stop)
        assert attempt(item, folder / "dst", options).status is Status.TO_DO
        source.chmod(0) if happens == "closed" else source.unlink()
        said = as_nobody(lambda: attempt(item, folder / "dst", options).reason)
        assert said == f"in.nrrd cannot be read ({reason}); make sure that you may read it."


# Sources that vanish or change


def after_reading_of(monkeypatch: pytest.MonkeyPatch, number: int, happens: Callable[[], object]) -> None:
    """Let something happen when the pixels of a series' file are about to be read, after all headers were."""
    read = ct_series.read_with_pixels
    count = 0

    def read_and_break(path: Path) -> pydicom.Dataset:
        nonlocal count
        count += 1
        if count == number:
            happens()
        return read(path)

    monkeypatch.setattr(ct_series, "read_with_pixels", read_and_break)


def test_a_slice_that_vanishes_is_told(denoiser: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_series(tmp_path / "in")
    after_reading_of(monkeypatch, 3, (source / "4.dcm").unlink)
    assert "4.dcm cannot be read (No such file or directory)" in refusal(denoiser, source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_series_that_vanishes_is_told(denoiser: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save_series(tmp_path / "in")
    after_reading_of(monkeypatch, 2, lambda: shutil.rmtree(source))
    assert "cannot be read" in refusal(denoiser, source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["other image", "other size", "cut off", "empty"])
def test_a_slice_that_changes_between_header_and_pixels_is_told(
    denoiser: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    source = save_series(tmp_path / "in")
    path = source / "4.dcm"
    content = path.read_bytes()
    changes: dict[str, Callable[[], object]] = {
        "other image": lambda: path.write_bytes((source / "1.dcm").read_bytes()),
        "other size": lambda: save(make_slice(4), path),
        "cut off": lambda: path.write_bytes(content[:-1000]),
        "empty": lambda: path.write_bytes(b""),
    }
    after_reading_of(monkeypatch, 3, changes[change])
    assert "4.dcm" in refusal(denoiser, source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_volume_that_vanishes_after_reading_is_denoised(
    denoiser: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save_volume(tmp_path / "in.nrrd")
    read = denoise_file_module.read_volume

    def read_and_remove(path: Path, **options: object) -> Scan:
        volume = read(path, **options)  # type: ignore[arg-type]
        source.unlink()
        return volume

    monkeypatch.setattr(denoise_file_module, "read_volume", read_and_remove)
    denoise_file(source, tmp_path / "out.nrrd", denoiser)
    assert_whole(tmp_path / "out.nrrd")


def test_a_source_that_is_rewritten_all_the_time_gives_one_version_or_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two versions of a raw file, each of one value: a mixture would show.
    source = tmp_path / "in.nrrd"
    versions = []
    for value in (-900, 100):
        voxels = np.full((40, 128, 128), value, np.int16)
        voxels[:, :2] = -1000
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(source), useCompression=False)
        versions.append(source.read_bytes())
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            for content in versions:
                with source.open("r+b", buffering=0) as file:  # in place: the reader sees half of each
                    for start in range(0, len(content), 65536):
                        file.write(content[start : start + 65536])
                        writes.append(start)

    # A writer that rests half-way for the whole of a read, as on a busy machine, cannot be seen: look whether it wrote.
    state, writes, looks = files._state, [], []

    def look(path: Path) -> object:
        before = len(writes)
        found = state(path)
        looks.append((before, len(writes)))
        return found

    monkeypatch.setattr(files, "_state", look)
    writer = threading.Thread(target=rewrite)
    writer.start()
    outcomes: Counter[str] = Counter()
    try:
        for _ in range(40):
            try:
                values = np.unique(volume_file.read_volume(source).hu)
            except InputError as error:
                outcomes[str(error)] += 1
            else:
                (_, first), (last, _) = looks[-2:]
                assert values.tolist() in ([-1000, -900], [-1000, 100]) or last - first < 2
    finally:
        stop.set()
        writer.join()
    told = "in.nrrd changed while it was read; wait until it is complete and try again."
    assert set(outcomes) == {told}


# SIGKILL


def assert_whole(path: Path) -> None:
    """A volume that its own format's reader reads to the end, or a folder with every slice."""
    if path.is_file():
        assert volume_file.read_volume(path).hu.shape[1:] == (48, 48)
        return
    numbers = [int(pydicom.dcmread(one).InstanceNumber) for one in path.iterdir() if pydicom.dcmread(one).pixel_array.any()]
    assert len(numbers) == 30


def kill_at_random(arguments: list[object], chance: random.Random, longest: float) -> bool:
    """Start the command, kill it at a random moment; whether it was still at work."""
    process = start_process(*arguments)
    time.sleep(chance.uniform(0, longest))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    return process.returncode == -signal.SIGKILL


def seconds_of(arguments: list[object]) -> float:
    start = time.monotonic()
    process = start_process(*arguments)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return time.monotonic() - start


def check_folder(folder: Path, allowed: set[str]) -> int:
    """No output but whole ones, nothing but outputs and hidden temporary files; how many outputs."""
    outputs = [path for path in folder.iterdir() if not path.name.startswith(TEMPORARY_PREFIX) and path.name != RECORDS]
    assert {path.name for path in outputs} <= allowed
    for path in outputs:
        assert_whole(path)
    return len(outputs)


def kill_denoise(model: Path, tmp_path: Path, kills: int, seed: int) -> str:
    sources = [save_volume(tmp_path / "in.nrrd", 60), save_series(tmp_path / "in", 30)]
    names = ["out.nii.gz", "out"]
    chance, killed, whole = random.Random(seed), 0, 0
    commands: list[list[Any]] = []
    for source, name in zip(sources, names, strict=True):
        target = tmp_path / f"to {name}"
        target.mkdir()
        commands.append(["denoise", source, target / name, "--model", model, "--device", "cpu", "--quiet", "--overwrite"])
    seconds = seconds_of(commands[0])
    (tmp_path / "to out.nii.gz" / "out.nii.gz").unlink()
    for number in range(kills):
        killed += kill_at_random(commands[number % 2], chance, seconds)
        whole += check_folder(commands[number % 2][2].parent, set(names))
    for command, name in zip(commands, names, strict=True):  # the next run cleans up after the killed ones
        seconds_of(command)
        assert [path.name for path in command[2].parent.iterdir()] == [name]
    return f"denoise: {kills} kills, {killed} at work; output whole after {whole}, absent after {kills - whole}"


def kill_batch(model: Path, tmp_path: Path, kills: int, seed: int) -> str:
    source = tmp_path / "src"
    source.mkdir()
    names = [f"{number}.nrrd" for number in range(8)]
    for name in names:
        save_volume(source / name, 12)
    save_series(source / "dicom", 30)
    chance, killed = random.Random(seed), 0
    command = ["batch", source, tmp_path / "first", "--model", model, "--device", "cpu", "--quiet"]
    seconds = seconds_of(command)
    target, rounds = tmp_path / "dst", 0
    allowed = {*names, "dicom"}
    for _ in range(kills):
        arguments = [*command[:2], target, *command[3:]]
        killed += kill_at_random(arguments, chance, seconds)
        if target.exists() and check_folder(target, allowed) == len(allowed):
            shutil.rmtree(target)
            rounds += 1
    seconds_of([*command[:2], target, *command[3:]])
    assert {path.name for path in target.iterdir()} == {*allowed, RECORDS}
    for name in names:
        assert (target / name).read_bytes() == (tmp_path / "first" / name).read_bytes()
    return f"batch: {kills} kills, {killed} at work, outputs whole after each; {rounds} batches came to their end meanwhile"


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_ends_a_batch_between_whole_outputs(tiny_model: Path, tmp_path: Path, stop: signal.Signals, code: int) -> None:
    (tmp_path / "src").mkdir()
    for number in range(40):
        save_volume(tmp_path / "src" / f"{number}.nrrd", 40)
    target = tmp_path / "dst"
    process = start_process("batch", tmp_path / "src", target, "--model", tiny_model, "--device", "cpu", "--batch-size", 1)
    deadline = time.monotonic() + PATIENCE_S
    while not list(target.glob("*.nrrd")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    for child in psutil.Process(process.pid).children(recursive=True):  # terminals and schedulers send it to all
        child.send_signal(stop)
    process.send_signal(stop)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, err
    assert "Interrupted" in err
    assert "Traceback" not in out + err
    assert 0 < check_folder(target, {f"{number}.nrrd" for number in range(40)}) < 40
    assert not list(target.glob(f"{TEMPORARY_PREFIX}*"))


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        print(f"\n{line}")


def test_killed_runs_leave_whole_outputs_or_none(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "denoise").mkdir()
    (tmp_path / "batch").mkdir()
    report(capsys, kill_denoise(tiny_model, tmp_path / "denoise", 2, seed=1))
    report(capsys, kill_batch(tiny_model, tmp_path / "batch", 3, seed=2))


@pytest.mark.slow
def test_many_killed_runs_leave_whole_outputs_or_none(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "denoise").mkdir()
    (tmp_path / "batch").mkdir()
    report(capsys, kill_denoise(tiny_model, tmp_path / "denoise", 26, seed=3))
    report(capsys, kill_batch(tiny_model, tmp_path / "batch", 26, seed=4))
