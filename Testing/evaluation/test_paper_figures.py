"""The paper's figures, redrawn from runs: what was run is shown, what was not is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.evaluation.paper_figures import FIGURES, draw
from LDCTDenoiseLib.simulation.phantom import make_phantom


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A CSV of one pair, and runs of the systems A and C."""
    folder = tmp_path_factory.mktemp("figures")
    truth = make_phantom(3, 96).truth
    for name, noise in (("full", 5), ("low", 30)):
        image = sitk.GetImageFromArray((truth + np.random.default_rng(noise).normal(0, noise, truth.shape)).astype(np.int16))
        sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
    (folder / "pairs.csv").write_text("patient,low,full,split\nP,low.nrrd,full.nrrd,test\n")
    for name in ("paper-a", "paper-c"):
        (folder / "runs" / name).mkdir(parents=True)
        shutil.copy(tiny_model, folder / "runs" / name / f"{name}.safetensors")
    return folder


def test_the_three_figures_are_drawn_from_the_runs_there_are(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["figures", "--pairs", str(runs / "pairs.csv"), "--runs", str(runs / "runs"), "--out", str(tmp_path / "out")]
    assert main([*command, "--device", "cpu", "--quiet"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths] == ["figure2.png", "figure5.png", "figure6.png"]
    for path in paths:
        assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).std() > 20


def test_a_system_that_was_not_run_is_not_shown_as_another() -> None:
    truth = make_phantom(1, 96).truth
    pair = DosePair("P", "p", truth + 10, truth, (1, 1), (0,))
    everything = dict.fromkeys(FIGURES[1].systems, truth[0] + 5)
    without_b = {system: image for system, image in everything.items() if system != "B"}
    assert draw(FIGURES[1], pair, everything, 0.7) != draw(FIGURES[1], pair, without_b, 0.7)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--runs", "{tmp}"], "holds no finished run of the paper's systems"),
        (["--patient", "Q"], "has no patient Q"),
        (["--slice", "3"], "has 3 slices, counted from 0; there is no slice 3"),
    ],
)
def test_wrong_usage_is_one_sentence(
    arguments: list[str], told: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["figures", "--pairs", str(runs / "pairs.csv"), "--runs", str(runs / "runs"), "--out", str(tmp_path / "out")]
    assert main([*command, *(argument.format(tmp=tmp_path) for argument in arguments), "--device", "cpu"]) == 1
    assert told in capsys.readouterr().err.splitlines()[-1]
