"""What a level is trained in: bfloat16 only where the device is quick at it."""

from __future__ import annotations

import logging

import pytest
import torch

from LDCTDenoiseLib.models.level import Predicts
from LDCTDenoiseLib.training import precision
from LDCTDenoiseLib.training.config import LevelConfig, TrainingConfig
from LDCTDenoiseLib.training.plan import time_steps
from LDCTDenoiseLib.training.precision import usable_precision
from LDCTDenoiseLib.training.train import level_module, new_cascade

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("wanted", "device", "quick", "used"),
    [
        ("bf16-mixed", "cpu", True, "bf16-mixed"),
        ("bf16-mixed", "cpu", False, "32"),
        ("32", "cpu", False, "32"),
        ("bf16-mixed", "cuda", False, "bf16-mixed"),
    ],
)
def test_a_cpu_without_bfloat16_takes_float32(
    wanted: str, device: str, quick: bool, used: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: quick)
    with caplog.at_level(logging.INFO):
        assert usable_precision(wanted, torch.device(device)) == used
    assert ("float32 is used" in caplog.text) == (used != wanted)


@pytest.mark.parametrize("quick", [True, False])
def test_steps_are_timed_in_the_precision_of_the_training(quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda: quick)
    config = TrainingConfig("t", "a test", (LevelConfig("drl", Predicts.IMAGE, 250, precision="bf16-mixed"),))
    module = level_module(new_cascade(config), 0, config, None)
    kinds: set[torch.dtype] = set()
    for layer in module.network.modules():
        layer.register_forward_hook(lambda layer, inputs, output: kinds.add(output.dtype))
    assert time_steps(module, config.levels[0], 2, 16, CPU, all_terms=True) > 0
    assert (torch.bfloat16 in kinds) is quick
