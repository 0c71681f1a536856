"""Models of a run's checkpoints: the last weights, their average, and the average with batch norm of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks import averaged_weights
from LDCTDenoiseLib import load_model
from LDCTDenoiseLib.commands.command_line import main
from Testing.training.test_patches import write_phantom

CONFIG = {
    "name": "small",
    "purpose": "a test",
    "steps_per_epoch": 2,
    "batch_norm_batches": 1,
    "data": {"patch_size": 16, "batch_size": 2},
    "levels": [
        {"network": "drl", "predicts": "image", "steps": 2, "learning_rate": 0.01, "hold_norm_from_step": 0, "average": 0.5}
    ],
}


def test_each_checkpoint_gives_three_models(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "models"
    data.mkdir()
    write_phantom(data / "anna.nrrd", seed=0)
    config = tmp_path / "small.yaml"
    config.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    start = ["--data", str(data), "--start-from", str(tiny_model)]
    assert main(["train", "--config", str(config), *start, "--out", str(run), "--device", "cpu", "--quiet"]) == 0
    checkpoint = run / "level1" / "last.ckpt"
    monkeypatch.setattr(sys, "argv", ["x", "--run", str(run), *start, "--out", str(out), str(checkpoint)])
    averaged_weights.main()
    last, average, own_norm = (
        load_model(out / f"last_{kind}.safetensors")[0].network(0).state_dict()
        for kind in ("last", "average", "average_own_norm")
    )
    trained = load_model(run / "small.safetensors")[0].network(0).state_dict()
    assert not torch.equal(last["c1.weight"], average["c1.weight"])
    for name, tensor in trained.items():
        torch.testing.assert_close(average[name], tensor, msg=name)
    assert torch.equal(own_norm["c1.weight"], average["c1.weight"])
    means = next(name for name in average if name.endswith("running_mean"))
    assert not torch.equal(own_norm[means], average[means])
