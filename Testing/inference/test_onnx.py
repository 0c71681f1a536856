"""ONNX files: what another program gets out of them is what the engine gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.errors import ModelError, OutputError
from LDCTDenoiseLib.inference import onnx as export_onnx
from LDCTDenoiseLib.simulation.phantom import make_phantom
from Testing.conftest import REPOSITORY

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What the command writes, and what it says, in a process of its own as a person runs it."""
    path = tmp_path_factory.mktemp("onnx") / "default.onnx"
    command = [sys.executable, "-m", "LDCTDenoiseLib", "export", "default", str(path)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return path, result.stdout + result.stderr


@pytest.fixture
def exported(export: tuple[Path, str]) -> Path:
    return export[0]


def test_no_warning_of_a_third_party_is_shown(export: tuple[Path, str]) -> None:
    path, told = export
    lines = told.splitlines()
    starts = ("Device: cpu", f"Wrote {path} in ", "It is within ")
    assert len(lines) == len(starts), told
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True)), told


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 40, 133)])
def test_onnx_gives_what_the_engine_gives_at_any_size(exported: Path, shape: tuple[int, int, int]) -> None:
    slices, rows, columns = shape
    volume = make_phantom(slices, 160).truth[:, 20 : 20 + rows, 10 : 10 + columns].copy()
    volume += np.random.default_rng(1).normal(0, 40, shape).astype(np.float32)
    volume[:, 3:9, 3:9] = -2000  # padding comes out as it went in
    volume[:, 12:20, 12:20] = 9000  # above the range that the network sees
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    (found,) = session.run(["denoised_hu"], {"hu": volume[:, None]})
    expected = Denoiser("default", "cpu", "float32")(volume)
    assert np.abs(expected - volume).max() > 10
    np.testing.assert_allclose(found[:, 0], expected, atol=0.1)
    np.testing.assert_array_equal(found[:, 0, 3:9, 3:9], -2000)


def test_the_file_says_its_opset_and_model_and_holds_its_weights(exported: Path) -> None:
    model = onnx.load(str(exported))
    assert [(one.domain, one.version) for one in model.opset_import if one.domain == ""] == [("", 18)]
    assert Denoiser("default", "cpu").info.model_hash in model.doc_string
    assert {path.name for path in exported.parent.iterdir()} == {"default.onnx"}
    dimensions = [dimension.dim_param for dimension in model.graph.input[0].type.tensor_type.shape.dim]
    assert dimensions[0]
    assert dimensions[2]
    assert dimensions[3]


def test_a_file_that_came_meanwhile_is_not_replaced_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model.onnx"
    monkeypatch.setattr(export_onnx, "_difference_from_engine", lambda *args: 0.0 if target.write_text("mine") else 1.0)
    with pytest.raises(OutputError, match=r"model\.onnx was made meanwhile"):
        export_onnx.export_onnx("default", target, overwrite=False)
    assert target.read_text() == "mine"


def test_a_file_that_differs_from_the_engine_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_onnx, "TOLERANCE_HU", -1.0)
    with pytest.raises(ModelError, match="differs from the engine"):
        export_onnx.export_onnx("default", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing", "{tmp}/model.onnx"], "There is no model 'nothing'"),
        (["default", "{tmp}/missing/model.onnx"], "does not exist; create it first"),
        (["default", "{tmp}/there.onnx"], "pass --overwrite"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there.onnx").write_text("")
    assert main(["export", *(argument.format(tmp=tmp_path) for argument in arguments)]) == 1
    assert told in capsys.readouterr().err.splitlines()[-1]
