"""The command line as its user meets it: files, exit codes, what it prints and what it leaves behind."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib import Denoiser, __version__, load_model, simulate_low_dose
from LDCTDenoiseLib.commands.command_line import COMMANDS, all_parsers, build_parser, main
from LDCTDenoiseLib.denoising import one_file
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.conftest import REPOSITORY
from Testing.dicom.test_ct_series import OTHER_SERIES, SERIES, save_series
from Testing.system.unprivileged import as_nobody, closed_folder

AXIAL = (1, 0, 0, 0, 1, 0, 0, 0, 1)
CORONAL = (1, 0, 0, 0, 0, 1, 0, -1, 0)


@dataclass
class Outcome:
    """What a run of the command line gave."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command line in this process. Log lines go to pytest; what is printed is returned."""

    def run_main(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_of_argparse:
            code = int(exit_of_argparse.code or 0)
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    log = logging.getLogger("LDCTDenoiseLib")
    level = log.level
    yield run_main
    log.setLevel(level)


def _heed_ctrl_c() -> None:
    # A shell starts its background jobs, and so the tests that run in one, with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_process(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "LDCTDenoiseLib", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        preexec_fn=None if sys.platform == "win32" else _heed_ctrl_c,
    )


def run_process(*arguments: object) -> Outcome:
    """Run the command line in a process of its own, log lines on stderr included."""
    process = start_process(*arguments)
    out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out, err)


def body(slices: int = 3, rows: int = 32, columns: int = 32, kind: type = np.int16) -> np.ndarray:
    """Noisy soft tissue, a disc in air."""
    row, column = np.ogrid[:rows, :columns]
    inside = ((row - rows / 2) / rows) ** 2 + ((column - columns / 2) / columns) ** 2 < 0.42**2
    noise = np.random.default_rng(0).normal(0, 12, (slices, rows, columns))
    return np.rint(np.where(inside, 40, -1000) + noise).astype(kind)


def save(path: Path, voxels: np.ndarray, direction: tuple[float, ...] = AXIAL, *, vector: bool = False) -> Path:
    image = sitk.GetImageFromArray(voxels, isVector=vector)
    if image.GetDimension() == 3:
        image.SetSpacing((0.8, 0.75, 2.5))
        image.SetOrigin((-120.5, 33.25, -400.125))
        image.SetDirection(direction)
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def voxels_of(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def assert_same_geometry_and_type(path: Path, reference: Path) -> None:
    one, other = sitk.ReadImage(str(path)), sitk.ReadImage(str(reference))
    for image_property in ("GetSize", "GetPixelID", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(one, image_property)() == getattr(other, image_property)(), image_property


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return save(tmp_path / "in.nrrd", body())


# denoise


@pytest.mark.parametrize("direction", [AXIAL, CORONAL])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
def test_denoise_keeps_geometry_and_type_and_changes_voxels_as_the_engine_does(
    run: Run, tiny_model: Path, tmp_path: Path, suffix: str, kind: type, direction: tuple[float, ...]
) -> None:
    source = save(tmp_path / f"in{suffix}", body(kind=kind), direction)
    target = tmp_path / f"out{suffix}"
    assert run("denoise", source, target, "--model", tiny_model, "--device", "cpu").code == 0
    assert_same_geometry_and_type(target, source)
    expected = Denoiser(tiny_model, device="cpu")(read_volume(source).hu)
    np.testing.assert_array_equal(read_volume(target).hu, expected)
    assert (expected != read_volume(source).hu).mean() > 0.5
    assert sorted(contents(tmp_path)) == [f"in{suffix}", f"out{suffix}"]


def test_json_says_what_was_done(run: Run, tiny_model: Path, tmp_path: Path, source: Path) -> None:
    options = ("--model", tiny_model, "--device", "cpu", "--levels", 1, "--blend", 0.7, "--slices", "1:3", "--json")
    outcome = run("denoise", source, tmp_path / "out.nrrd", *options)
    summary = json.loads(outcome.out)
    seconds, slices_per_second = summary.pop("seconds"), summary.pop("slices_per_second")
    assert summary == {
        "input": str(source),
        "output": str(tmp_path / "out.nrrd"),
        "model": "tiny",
        "model_hash": load_model(tiny_model)[1].model_hash,
        "device": "cpu",
        "backend": Denoiser(tiny_model, device="cpu").backend.value,
        "slices": [1, 3],
        "levels": 1,
        "blend": 0.7,
        "warnings": [],
    }
    assert slices_per_second > 0
    assert 2 / slices_per_second == pytest.approx(seconds, abs=0.001)


def test_backend_threads_and_region_are_the_engines(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    voxels = np.full((2, 64, 64), -990, np.int16)
    voxels[:, 20:40, 20:40] = np.random.default_rng(0).normal(40, 60, (2, 20, 20))
    source, target = tmp_path / "in.nrrd", tmp_path / "out.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(voxels), source)
    outcome = run(
        "denoise", source, target, "--model", tiny_model, "--backend", "torch", "--threads", 1, "--region", "body", "--json"
    )
    assert json.loads(outcome.out)["backend"] == "torch"
    expected = Denoiser(tiny_model, device="cpu", backend="torch", threads=1, region="body")(voxels)
    np.testing.assert_array_equal(voxels_of(target), expected)
    np.testing.assert_array_equal(voxels_of(target)[:, 48:], voxels[:, 48:])


def test_json_of_a_whole_volume_counts_all_slices_and_levels(run: Run, tiny_model: Path, tmp_path: Path, source: Path) -> None:
    summary = json.loads(run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model, "--json").out)
    assert (summary["slices"], summary["levels"], summary["blend"]) == ([0, 3], 2, 1.0)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32])
def test_blend_zero_gives_the_input_back(run: Run, tiny_model: Path, tmp_path: Path, kind: type) -> None:
    hu = body(kind=kind)
    hu[0, :2] = -3024  # padding
    hu[1, 5, :4] = [-2000, -1025, 3072, 20000]
    source = save(tmp_path / "in.nrrd", hu)
    assert run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model, "--blend", 0).code == 0
    assert_same_geometry_and_type(tmp_path / "out.nrrd", source)
    np.testing.assert_array_equal(voxels_of(tmp_path / "out.nrrd"), hu)


def test_slices_outside_the_range_are_copied(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    hu = body(slices=5)
    source = save(tmp_path / "in.nrrd", hu)
    assert run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model, "--slices", "1:3").code == 0
    changed = (voxels_of(tmp_path / "out.nrrd") != hu).any(axis=(1, 2))
    assert changed.tolist() == [False, True, True, False, False]


def test_the_axis_given_is_the_axis_of_the_slices(run: Run, tiny_model: Path, tmp_path: Path, source: Path) -> None:
    assert run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model, "--device", "cpu", "--axis", 2).code == 0
    slices = np.moveaxis(voxels_of(source), 2, 0)
    expected = Denoiser(tiny_model, device="cpu")(slices)
    np.testing.assert_array_equal(np.moveaxis(voxels_of(tmp_path / "out.nrrd"), 2, 0), expected)


def test_fewer_levels_give_another_image(run: Run, tiny_model: Path, tmp_path: Path, source: Path) -> None:
    for levels in (1, 2):
        run("denoise", source, tmp_path / f"{levels}.nrrd", "--model", tiny_model, "--levels", levels)
    assert (voxels_of(tmp_path / "1.nrrd") != voxels_of(tmp_path / "2.nrrd")).any()


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 1, 1), (2, 1, 7), (2, 7, 1), (2, 31, 33), (40, 2, 3)])
def test_single_slices_and_odd_matrices_work(run: Run, tiny_model: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    source = save(tmp_path / "in.nrrd", np.random.default_rng(0).normal(-300, 50, shape).astype(np.int16))
    outcome = run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model)
    assert outcome.code == 0, outcome.err
    assert_same_geometry_and_type(tmp_path / "out.nrrd", source)


def test_a_flat_image_works(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "in.nrrd", body()[0])
    assert run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model).code == 0
    assert_same_geometry_and_type(tmp_path / "out.nrrd", source)
    assert (voxels_of(tmp_path / "out.nrrd") != voxels_of(source)).any()


@pytest.mark.slow
def test_a_slice_of_4096_by_4096_is_denoised_as_any_part_of_it(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    hu = body(1, 4096, 4096, np.float32)
    source = save(tmp_path / "in.nrrd", hu)
    options = ("--model", tiny_model, "--device", "cpu", "--levels", 1)
    assert run("denoise", source, tmp_path / "out.nrrd", *options).code == 0
    part = Denoiser(tiny_model, device="cpu", levels=1)(hu[:, 1900:2200, 1900:2200])
    inner = slice(1917, 2183)  # the network sees 17 px around a voxel; the middle lies on a tile's border
    difference = voxels_of(tmp_path / "out.nrrd")[:, inner, inner] - part[:, 17:-17, 17:-17]
    assert np.abs(difference).max() < 1e-3


def test_an_output_is_replaced_with_overwrite(run: Run, tiny_model: Path, tmp_path: Path, source: Path) -> None:
    target = save(tmp_path / "old.nrrd", body())
    assert run("denoise", source, target, "--model", tiny_model, "--device", "cpu", "--overwrite").code == 0
    np.testing.assert_array_equal(voxels_of(target), Denoiser(tiny_model, device="cpu")(voxels_of(source)))


def test_a_model_is_found_by_its_name(
    run: Run, tiny_model: Path, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("LDCTDenoiseLib.models.model_info.SHIPPED_FOLDER", tiny_model.parent)
    outcome = run("denoise", source, tmp_path / "out.nrrd", "--model", "tiny", "--json")
    assert json.loads(outcome.out)["model"] == "tiny"


def test_a_dicom_folder_is_denoised_but_for_its_padding(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    # Stored values 0 to 247 are -1024 to -777 HU; 103 occurs in the second slice alone.
    save_series(tmp_path / "scan", [0, 1, 2], {"PixelPaddingValue": 103})
    outcome = run("denoise", tmp_path / "scan", tmp_path / "out.nii.gz", "--model", tiny_model)
    assert outcome.code == 0, outcome.err
    before, after = read_volume(tmp_path / "scan").hu, voxels_of(tmp_path / "out.nii.gz")
    padding = before == 103 - 1024
    assert padding.sum() == 1
    assert (after == before)[padding].all()
    assert (after != before).mean() > 0.5


def test_a_series_is_chosen_by_its_uid(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    save_series(tmp_path / "scans" / "one", [0, 1])
    save_series(tmp_path / "scans" / "two", [0, 1, 2], {"SeriesInstanceUID": OTHER_SERIES})
    outcome = run("denoise", tmp_path / "scans", tmp_path / "out.nrrd", "--model", tiny_model)
    assert outcome.code == 1
    lines = outcome.err.splitlines()
    assert lines[:-1] == run("series", tmp_path / "scans").out.splitlines()
    assert {SERIES, OTHER_SERIES} < set(lines)
    assert lines[-1] == f"ldctdenoise: {tmp_path / 'scans'} holds several CT series; choose one of them: --series UID."
    assert run("denoise", tmp_path / "scans", tmp_path / "out.nrrd", "--series", OTHER_SERIES, "--model", tiny_model).code == 0
    assert len(voxels_of(tmp_path / "out.nrrd")) == 3


# simulate


@pytest.mark.parametrize("direction", [AXIAL, CORONAL])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_simulate_keeps_geometry_and_type_and_adds_noise(
    run: Run, tmp_path: Path, kind: type, direction: tuple[float, ...]
) -> None:
    slices = body(2, 64, 64, kind)
    stored = slices if direction == AXIAL else np.moveaxis(slices, 0, 1)
    source = save(tmp_path / "in.nrrd", stored, direction)
    target = tmp_path / "out.nrrd"
    outcome = run("simulate", source, target, "--dose", 0.25, "--seed", 3)
    assert outcome.code == 0, outcome.err
    assert_same_geometry_and_type(target, source)
    volume = read_volume(source)
    expected = simulate_low_dose(volume.hu, volume.spacing, 0.25, seed=3)
    np.testing.assert_array_equal(read_volume(target).hu, expected)
    middle = (slice(None), slice(24, 40), slice(24, 40))
    assert read_volume(target).hu[middle].std() > 1.5 * volume.hu[middle].std()


def test_a_real_volume_keeps_its_place_through_simulate_and_denoise(
    run: Run, tiny_model: Path, shared: Path, tmp_path: Path
) -> None:
    whole = sitk.ReadImage(str(shared / "data" / "train" / "abdomen_CRLM-CT-1004.nrrd"))
    full, low, denoised = (tmp_path / name for name in ("full.nrrd", "low.nrrd", "denoised.nrrd"))
    sitk.WriteImage(whole[200:296, 180:276, 20:22], str(full))
    outcome = run("simulate", full, low, "--dose", 0.25)
    assert outcome.code == 0, outcome.err
    assert run("denoise", low, denoised, "--model", tiny_model).code == 0
    assert_same_geometry_and_type(low, full)
    assert_same_geometry_and_type(denoised, full)
    assert len({voxels_of(path).tobytes() for path in (full, low, denoised)}) == 3


def test_full_dose_is_the_input(run: Run, tmp_path: Path, source: Path) -> None:
    assert run("simulate", source, tmp_path / "out.nrrd", "--dose", 1).code == 0
    np.testing.assert_array_equal(voxels_of(tmp_path / "out.nrrd"), voxels_of(source))


def test_a_volume_that_came_while_noise_was_inserted_is_kept(
    run: Run, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.nrrd"

    def let_it_come(*what: Any, **how: Any) -> np.ndarray:
        target.write_text("mine")
        return simulate_low_dose(*what, **how)

    monkeypatch.setattr("LDCTDenoiseLib.simulation.simulate_low_dose", let_it_come)
    outcome = run("simulate", source, target, "--dose", 0.25)
    assert outcome.code == 1
    assert "was made meanwhile; pass --overwrite" in outcome.err
    assert target.read_text() == "mine"
    assert run("simulate", source, target, "--dose", 0.25, "--overwrite").code == 0


# The other commands


def test_models_lists_what_is_shipped(run: Run, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("LDCTDenoiseLib.models.model_info.SHIPPED_FOLDER", tiny_model.parent)
    outcome = run("models")
    assert outcome.code == 0
    assert outcome.out.splitlines()[0] == "tiny: tests"
    assert "2 levels: drl + drl-difference" in outcome.out
    assert load_model(tiny_model)[1].model_hash[:16] in outcome.out


def test_info_tells_versions_devices_and_extras(run: Run) -> None:
    outcome = run("info")
    assert outcome.code == 0
    for part in (f"ldctdenoise {__version__}", "torch", "SimpleITK", "pydicom", "cuda", "device cpu", "extra report"):
        assert part in outcome.out


def test_version_is_printed(run: Run) -> None:
    assert run("--version") == Outcome(0, f"ldctdenoise {__version__}\n", "")


@pytest.mark.parametrize("command", ["", *(module.__name__.rpartition(".")[2].replace("_", "-") for module in COMMANDS)])
def test_every_command_has_help(run: Run, command: str) -> None:
    outcome = run(*command.split(), "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"usage: ldctdenoise {command}".rstrip())
    assert outcome.err == ""


def test_help_does_not_wait_for_torch() -> None:
    program = (
        "import sys; from LDCTDenoiseLib.commands.command_line import main\n"
        "try: main(['denoise', '--help'])\n"
        "finally: assert 'torch' not in sys.modules and 'SimpleITK' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_denoising_imports_no_more_of_openvino_than_it_needs(tiny_model: Path, tmp_path: Path, source: Path) -> None:
    """The conversion of other formats is more than half of the time that ``import openvino`` takes."""
    command = [sys.executable, "-X", "importtime", "-m", "LDCTDenoiseLib", "denoise", source, tmp_path / "out.nrrd"]
    options = ["--model", tiny_model, "--device", "cpu", "--backend", "openvino"]
    done = subprocess.run([*command, *options], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "openvino" in imported
    assert not {name for name in imported if name.startswith(("openvino.tools.ovc.", "torch", "matplotlib"))}


def test_an_output_that_cannot_be_written_is_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys; from LDCTDenoiseLib.commands.command_line import main\n"
        f"code = main(['denoise', {str(tmp_path)!r}, {str(tmp_path / 'out.png')!r}])\n"
        "assert (code, 'torch' in sys.modules) == (1, False)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_console_script_is_this_command_line() -> None:
    (script,) = entry_points(group="console_scripts", name="ldctdenoise")
    assert script.load() is main


# Wrong usage: exit 2, nothing done


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sharpen"],
        ["denoise", "in.nrrd"],
        ["denoise", "in.nrrd", "out.nrrd", "--blend", "1.01"],
        ["denoise", "in.nrrd", "out.nrrd", "--blend", "-0.1"],
        ["denoise", "in.nrrd", "out.nrrd", "--blend", "nan"],
        ["denoise", "in.nrrd", "out.nrrd", "--blend", "half"],
        ["denoise", "in.nrrd", "out.nrrd", "--slices", "2:2"],
        ["denoise", "in.nrrd", "out.nrrd", "--slices", "3:1"],
        ["denoise", "in.nrrd", "out.nrrd", "--slices", "3"],
        ["denoise", "in.nrrd", "out.nrrd", "--slices=-1:2"],
        ["denoise", "in.nrrd", "out.nrrd", "--slices", "a:b"],
        ["denoise", "in.nrrd", "out.nrrd", "--levels", "0"],
        ["denoise", "in.nrrd", "out.nrrd", "--batch-size", "0"],
        ["denoise", "in.nrrd", "out.nrrd", "--axis", "3"],
        ["denoise", "in.nrrd", "out.nrrd", "--precision", "int8"],
        ["simulate", "in.nrrd", "out.nrrd"],
        ["simulate", "in.nrrd", "out.nrrd", "--dose", "1.5"],
        ["simulate", "in.nrrd", "out.nrrd", "--dose", "0.5", "--kernel", "bone"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_explained_and_nothing_is_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Path, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    outcome = run(*arguments)
    assert outcome.code == 2
    usage, sentence = outcome.err.splitlines()
    command = " ".join(["ldctdenoise", *(one for one in arguments[:1] if one != "sharpen")])
    assert usage.startswith(f"usage: {command} ")
    assert usage.endswith(f"  (more: {command} --help)")
    assert sentence.startswith(f"{command}: error: ")
    assert contents(tmp_path) == before


# Bad input: exit 1, one sentence, nothing left behind


def assert_refused(outcome: Outcome, sentence: str, code: int = 1) -> None:
    assert outcome.code == code
    assert outcome.out == ""
    assert outcome.err.startswith("ldctdenoise: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert sentence in outcome.err


def with_voxel(value: float) -> np.ndarray:
    hu = body(kind=np.float32)
    hu[1, 2, 3] = value
    return hu


BRIGHT = body()
BRIGHT[:, :, 15] = 5000  # 3 % of the voxels

BAD_VOLUMES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "does not exist"),
    "no volume": (lambda path: path.write_text("text"), "cannot be read"),
    "without a byte": (lambda path: path.touch(), "cannot be read"),
    "cut off": (lambda path: path.write_bytes(save(path, body()).read_bytes()[:-2000]), "cut off"),
    "4-D": (lambda path: sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(body())] * 2), str(path)), "has 4 axes"),
    "colour": (lambda path: save(path, np.zeros((3, 8, 8, 3), np.uint8), vector=True), "3 values per voxel"),
    "NaN": (lambda path: save(path, with_voxel(np.nan)), "NaN or infinity in 1 voxel"),
    "infinite": (lambda path: save(path, with_voxel(np.inf)), "NaN or infinity in 1 voxel"),
    "minus infinite": (lambda path: save(path, with_voxel(-np.inf)), "NaN or infinity in 1 voxel"),
    "all NaN": (lambda path: save(path, np.full((2, 8, 8), np.nan, np.float32)), "NaN or infinity in 128 voxels"),
    "without fat or air": (lambda path: save(path, np.abs(body())), "--force"),
    "too bright": (lambda path: save(path, BRIGHT), "--force"),
}


@pytest.mark.parametrize("command", ["denoise", "simulate"])
@pytest.mark.parametrize("name", BAD_VOLUMES)
def test_a_volume_that_cannot_be_used_is_refused(run: Run, tiny_model: Path, tmp_path: Path, name: str, command: str) -> None:
    make, sentence = BAD_VOLUMES[name]
    make(tmp_path / "in.nrrd")
    before = contents(tmp_path)
    options = ("--model", tiny_model) if command == "denoise" else ("--dose", 0.25)
    assert_refused(run(command, tmp_path / "in.nrrd", tmp_path / "out.nrrd", *options), sentence)
    assert contents(tmp_path) == before


def test_an_empty_volume_is_refused(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    header = "ObjectType = Image\nNDims = 3\nDimSize = 8 8 0\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    (tmp_path / "in.mha").write_text(header)
    outcome = run("denoise", tmp_path / "in.mha", tmp_path / "out.mha", "--model", tiny_model)
    assert_refused(outcome, "in.mha is empty")
    assert list(contents(tmp_path)) == ["in.mha"]


@pytest.mark.parametrize("hu", [np.abs(body()), BRIGHT], ids=["without fat or air", "too bright"])
def test_a_volume_that_does_not_look_like_hu_works_with_force(run: Run, tiny_model: Path, tmp_path: Path, hu: np.ndarray) -> None:
    source = save(tmp_path / "in.nrrd", hu)
    outcome = run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model, "--force")
    assert outcome.code == 0, outcome.err
    assert_same_geometry_and_type(tmp_path / "out.nrrd", source)


def test_simulate_takes_a_volume_without_air_with_force(run: Run, tmp_path: Path) -> None:
    source = save(tmp_path / "in.nrrd", np.random.default_rng(0).normal(40, 12, (1, 48, 48)).clip(-40).astype(np.int16))
    outcome = run("simulate", source, tmp_path / "out.nrrd", "--dose", 0.25, "--force")
    assert outcome.code == 0, outcome.err
    assert voxels_of(tmp_path / "out.nrrd").std() > voxels_of(source).std()


BAD_OPTIONS = {
    "unknown model": (["--model", "nonesuch"], "no model 'nonesuch'"),
    "device not there": (["--device", "cuda:99"], "CUDA"),
    "too many levels": (["--levels", "3"], "has 2 levels; 3 cannot be used"),
    "slices outside": (["--slices", "1:4"], "slice range 1:4 does not lie within the volume's 3 slices"),
    "series of a file": (["--series", "1.2.3"], "in.nrrd is a volume file"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_an_option_that_cannot_be_met_is_refused(run: Run, tiny_model: Path, tmp_path: Path, source: Path, name: str) -> None:
    options, sentence = BAD_OPTIONS[name]
    before = contents(tmp_path)
    outcome = run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model, *options)
    assert_refused(outcome, sentence)
    assert contents(tmp_path) == before


def test_a_file_that_is_no_model_is_refused(run: Run, tmp_path: Path, source: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"not a model")
    outcome = run("denoise", source, tmp_path / "out.nrrd", "--model", tmp_path / "bad.safetensors")
    assert_refused(outcome, "bad.safetensors is truncated or not a safetensors file")


BAD_OUTPUTS = {
    "in a missing folder": ("missing/out.nrrd", "missing does not exist"),
    "that exists": ("old.nrrd", "--overwrite"),
    "that is the input": ("in.nrrd", "is the input itself"),
    "that is a folder": ("folder.nrrd", "must be a volume file"),
    "of another format": ("out.dcm", "must be a volume file"),
}


@pytest.mark.parametrize("command", ["denoise", "simulate"])
def test_a_sheared_volume_is_not_straightened_into_nifti(
    run: Run, tiny_model: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "in.nrrd", body(), (1, 0, 0, 0, 1, 0.28, 0, 0, 0.96))
    before = contents(tmp_path)
    monkeypatch.setattr("LDCTDenoiseLib.inference.engine.Denoiser.__call__", lambda *_, **__: pytest.fail("computed"))
    monkeypatch.setattr("LDCTDenoiseLib.simulation.simulate_low_dose", lambda *_, **__: pytest.fail("computed"))
    options = ("--model", tiny_model) if command == "denoise" else ("--dose", 0.25)
    assert_refused(run(command, source, tmp_path / "out.nii.gz", *options), "which a NIfTI file such as out.nii.gz cannot hold")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["denoise", "simulate"])
@pytest.mark.parametrize("name", BAD_OUTPUTS)
def test_an_output_that_cannot_be_written_is_refused(
    run: Run, tiny_model: Path, tmp_path: Path, source: Path, name: str, command: str
) -> None:
    output, sentence = BAD_OUTPUTS[name]
    save(tmp_path / "old.nrrd", body() + 1)
    (tmp_path / "folder.nrrd").mkdir()
    before = contents(tmp_path)
    options = ("--model", tiny_model) if command == "denoise" else ("--dose", 0.25)
    assert_refused(run(command, source, tmp_path / output, *options), sentence, 2 if output == "out.dcm" else 1)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", [["denoise"], ["simulate", "--dose", "0.25"]], ids=["denoise", "simulate"])
def test_an_output_folder_that_is_not_writable_is_refused(command: list[str]) -> None:
    with closed_folder() as folder:
        (folder / "in.nrrd").touch()

        def run_main() -> str:
            with contextlib.redirect_stderr(io.StringIO()) as err:
                code = main([*command, str(folder / "in.nrrd"), str(folder / "out.nrrd")])
            return f"{code} {err.getvalue()}"

        sentence = f"The folder {folder} is not writable; choose another output folder."
        assert as_nobody(run_main) == f"1 ldctdenoise: {sentence}\n"


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (MemoryError(), "Not enough memory for this volume"),
        (
            ZeroDivisionError("division\nby zero"),
            "Unexpected failure (ZeroDivisionError: division by zero); run again with --debug",
        ),
    ],
)
def test_any_other_failure_is_one_line_too(
    run: Run, tiny_model: Path, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, sentence: str
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise failure

    monkeypatch.setattr(one_file, "read_volume", fail)
    assert_refused(run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model), sentence)


def test_ctrl_c_while_writing_leaves_nothing(
    run: Run, tiny_model: Path, tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(image: sitk.Image, name: str, **options: object) -> None:
        Path(name).write_bytes(b"half a volume")
        raise KeyboardInterrupt

    before = contents(tmp_path)
    monkeypatch.setattr(sitk, "WriteImage", interrupted)
    outcome = run("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model)
    assert outcome.code == 130
    assert contents(tmp_path) == before


# In a process of its own


def test_quiet_prints_nothing(tiny_model: Path, tmp_path: Path) -> None:
    # As long as the next test's volume: a bar appears only after a tenth of a second.
    source = save(tmp_path / "in.nrrd", body(slices=8, rows=96, columns=96))
    outcome = run_process("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model, "--batch-size", 1, "--quiet")
    assert outcome == Outcome(0, "", "")
    assert (tmp_path / "out.nrrd").exists()


def test_stderr_tells_the_device_the_warnings_and_the_progress(tiny_model: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "in.nrrd", body(slices=8, rows=96, columns=96).clip(-150, None))
    options = ("--model", tiny_model, "--device", "cpu", "--batch-size", 1)
    outcome = run_process("denoise", source, tmp_path / "out.nrrd", *options)
    assert outcome.code == 0
    assert outcome.out == ""
    device, warning, *progress, done = outcome.err.splitlines()
    assert done.startswith(f"Wrote {tmp_path / 'out.nrrd'}: 8 slices denoised in ")
    assert device == "Device: cpu, as asked."
    assert warning.startswith("No voxel lies below -200 HU")
    assert "/8" in progress[-1]
    assert "slice/s" in progress[-1]
    assert "<" in progress[-1]  # elapsed<left


def test_stderr_of_a_refusal_is_the_device_and_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "in.nrrd", with_voxel(np.nan))
    outcome = run_process("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model)
    assert outcome.code == 1
    device, sentence = outcome.err.splitlines()
    assert device.startswith("Device: ")
    assert sentence == "ldctdenoise: There is NaN or infinity in 1 voxel; put padding (-1024 HU) there first."


@pytest.mark.parametrize("place", [0, 1, 5])
def test_debug_shows_the_traceback_before_the_sentence(tmp_path: Path, place: int) -> None:
    (tmp_path / "in.nrrd").write_text("no volume")
    arguments = ["simulate", tmp_path / "in.nrrd", tmp_path / "out.nrrd", "--dose", 0.5]
    arguments.insert(place, "--debug")
    outcome = run_process(*arguments)
    assert outcome.code == 1
    assert "Traceback (most recent call last)" in outcome.err
    assert "in read_volume" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("ldctdenoise: ")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize(("stop", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_stop_leaves_no_output_and_no_traceback(tiny_model: Path, tmp_path: Path, stop: str, code: int) -> None:
    if signal.getsignal(signal.Signals[stop]) is signal.SIG_IGN:
        pytest.skip(f"the tests themselves run without {stop}, as under nohup")
    source = save(tmp_path / "in.nrrd", body(slices=300, rows=96, columns=96))
    options = ("--model", tiny_model, "--device", "cpu", "--batch-size", 1)
    process = start_process("denoise", source, tmp_path / "out.nrrd", *options)
    assert process.stderr is not None
    seen = ""
    give_up = time.monotonic() + 60
    while "/300" not in seen and time.monotonic() < give_up and process.poll() is None:
        seen += process.stderr.read(1)
    process.send_signal(signal.Signals[stop])
    _, rest = process.communicate(timeout=60)
    assert process.returncode == code, seen + rest
    assert "Interrupted" in rest
    assert "Traceback" not in seen + rest
    assert list(contents(tmp_path)) == ["in.nrrd"]


PARSERS = {parser.prog: parser for parser in all_parsers(build_parser())}


@pytest.mark.parametrize("program", PARSERS)
def test_help_has_an_example_and_plain_words_for_every_option(program: str) -> None:
    parser = PARSERS[program]
    assert "``" not in parser.format_help()
    assert [action.dest for action in parser._actions if not action.help and action.dest != "action"] == []
    (_, example) = (parser.epilog or "").split("Example: ")
    if not isinstance(parser._actions[-1], argparse._SubParsersAction):
        build_parser().parse_args(example.split()[1:])  # it is one that the command takes


@pytest.mark.parametrize("command", ["denoise", "simulate"])
@pytest.mark.parametrize("way", ["same", "dotted", "link", "hard link"])
def test_an_output_that_is_the_input_is_refused_even_with_overwrite(run: Run, tmp_path: Path, command: str, way: str) -> None:
    source = tmp_path / "in.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(body()), str(source))
    (tmp_path / "folder").mkdir()
    target = {
        "same": source,
        "dotted": tmp_path / "folder" / ".." / "in.nrrd",
        "link": tmp_path / "link.nrrd",
        "hard link": tmp_path / "hard.nrrd",
    }[way]
    if way == "link":
        target.symlink_to(source)
    if way == "hard link":
        target.hardlink_to(source)
    content = source.read_bytes()
    dose = ("--dose", 0.5) if command == "simulate" else ()
    assert_refused(run(command, source, target, "--overwrite", *dose), "is the input itself")
    assert source.read_bytes() == content


def test_swapped_paths_are_recognised(run: Run, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(body()), str(tmp_path / "in.nrrd"))
    assert_refused(run("denoise", tmp_path / "out.nrrd", tmp_path / "in.nrrd"), "did you mean")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["scan.nrrd", "out.nrrd"], "did you mean: ldctdenoise denoise scan.nrrd out.nrrd"),
        (["denois", "a", "b"], "did you mean denoise?"),
        (["xyzzy"], "choose one of denoise, batch"),
        (["simulate", "a.nrrd", "b.nrrd", "--dose", "25"], "did you mean 0.25?"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_was_probably_meant(
    arguments: list[str], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert advice in capsys.readouterr().err


def test_quiet_success_says_nothing(tiny_model: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "in.nrrd", body())
    done = run_process("denoise", source, tmp_path / "out.nrrd", "--model", tiny_model, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_nrrd_file_says_what_made_it(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    source, target = save(tmp_path / "in.nrrd", body()), tmp_path / "out.nrrd"
    options = ("--model", tiny_model, "--levels", 1, "--blend", 0.7, "--slices", "1:3", "--region", "body")
    assert run("denoise", source, target, *options).code == 0
    image = sitk.ReadImage(str(target))
    told = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys() if key.startswith("LDCTDenoise.")}
    assert told == {
        "LDCTDenoise.Software": f"ldctdenoise {__version__}",
        "LDCTDenoise.Model": "tiny",
        "LDCTDenoise.ModelHash": load_model(tiny_model)[1].model_hash,
        "LDCTDenoise.Levels": "1",
        "LDCTDenoise.Blend": "0.7",
        "LDCTDenoise.Slices": "1:3",
        "LDCTDenoise.Region": "body",
    }


def test_a_nifti_file_gets_its_provenance_beside_it_on_request(run: Run, tiny_model: Path, tmp_path: Path, source: Path) -> None:
    target, beside = tmp_path / "out.nii.gz", tmp_path / "out.json"
    options = ("--model", tiny_model, "--levels", 1, "--slices", "1:3", "--provenance")
    assert run("denoise", source, target, *options).code == 0
    assert json.loads(beside.read_text(encoding="utf-8")) == {
        "LDCTDenoise.Software": f"ldctdenoise {__version__}",
        "LDCTDenoise.Model": "tiny",
        "LDCTDenoise.ModelHash": load_model(tiny_model)[1].model_hash,
        "LDCTDenoise.Levels": "1",
        "LDCTDenoise.Blend": "1",
        "LDCTDenoise.Slices": "1:3",
    }
    target.unlink()
    assert_refused(run("denoise", source, target, *options), "out.json exists; pass --overwrite")
    assert not target.exists()
    assert run("denoise", source, target, *options, "--overwrite").code == 0
    assert target.exists()
