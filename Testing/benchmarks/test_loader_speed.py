"""The loader beside the training step: every part is measured, whatever the batches hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import loader_speed
from LDCTDenoiseLib.models.level import Predicts
from LDCTDenoiseLib.training.config import DataConfig, LevelConfig, LossConfig, TrainingConfig


def test_loader_device_and_step_are_measured_for_every_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader_speed, "SLICES", 2)
    monkeypatch.setattr(loader_speed, "REPEATS", 1)
    levels = (
        LevelConfig("drl", Predicts.IMAGE, 250, precision="bf16-mixed", loss=LossConfig(lesions=1.0)),
        LevelConfig("drl-difference", Predicts.DIFFERENCE, 250),
    )
    config = TrainingConfig("t", "a test", levels, DataConfig(patch_size=16, batch_size=4, inserts=0.5))
    rows = loader_speed.measure(config, torch.device("cpu"), loader_speed.make_cases(tmp_path))
    assert [row["level"] for row in rows] == [1, 2]
    assert all(row[work] > 0 for row in rows for work in loader_speed.WORKS)
