"""The demo: files, table and a picture that shows something."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.data.pairs_csv import read_pairs
from LDCTDenoiseLib.demo.denoising_demo import run_demo


def test_the_demo_makes_its_files_and_its_table_shows_a_gain(tmp_path: Path) -> None:
    table = run_demo(tmp_path / "out", device="cpu", slices=2, size=256)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"demo.png", "phantom.nrrd", "low_dose.nrrd", "denoised.nrrd"}
    values = {line.split()[0]: [float(v) for v in line.split()[1:]] for line in table.splitlines()[1:3]}
    (rmse_in, psnr_in, ssim_in, _), (rmse_out, psnr_out, ssim_out, bias_out) = values["input"], values["output"]
    assert rmse_out < rmse_in
    assert psnr_out > psnr_in + 2
    assert ssim_out > ssim_in
    assert abs(bias_out) < 3
    low, denoised = (sitk.ReadImage(str(tmp_path / "out" / f"{name}.nrrd")) for name in ("low_dose", "denoised"))
    assert low.GetSpacing() == denoised.GetSpacing() == (400 / 256, 400 / 256, 5.0)
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "demo.png")))
    assert np.std(picture) > 20


def test_the_demo_tells_how_far_it_is(tmp_path: Path) -> None:
    told: dict[str, list[tuple[int, int]]] = {}

    @contextmanager
    def bar(title: str) -> Iterator[Callable[[int, int], None]]:
        told[title] = []
        yield lambda done, total: told[title].append((done, total))

    run_demo(tmp_path / "out", device="cpu", slices=2, size=256, bar=bar)
    assert list(told) == ["Simulating", "Denoising"]
    assert [steps[-1] for steps in told.values()] == [(2, 2), (2, 2)]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["demo", "--out", str(tmp_path / "file" / "out"), "--device", "cpu"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("ldctdenoise: The folder")
    assert "choose another folder" in error


@pytest.mark.slow
def test_the_training_demo_gains_a_decibel_on_a_phantom_that_it_has_not_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["demo", "--train", "demo", "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(command) == 0
    gain = re.search(r"gain ([+-]\d+\.\d+) dB", capsys.readouterr().out)
    assert gain is not None
    assert float(gain[1]) > 1
    pairs = read_pairs(tmp_path / "out" / "data" / "pairs.csv")
    assert [pair.split for pair in pairs] == ["train", "train", "train", "validate", "test"]
