"""How long each part is trained: optimiser steps, granted once from the processor time that a step was measured to take.

A budget in steps gives the same training on every machine, however busy; a budget in time would not. So the processor time of a
step of each kind is measured (``--measure-steps``), the steps that fill a part's share are written into ``steps.json``, and the
trainings follow that file. Validation, checkpoints and the estimate of batch norm's statistics at the end are not counted.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from benchmarks.speed.machine import describe
from LDCTDenoiseLib.ct.hu import DEFAULT_SCALE
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.models.networks.layers import channels_last
from LDCTDenoiseLib.system.files import replace_when_complete
from LDCTDenoiseLib.training.adversarial import AdversarialTraining
from LDCTDenoiseLib.training.config import DataConfig, LevelConfig, LossConfig, TrainingConfig, load_config
from LDCTDenoiseLib.training.plan import median_seconds, time_steps
from LDCTDenoiseLib.training.train import level_module, new_cascade

from .parts import PARTS, Part

SECONDS = 45 * 60.0
"""Of one core, for each system: what the project's two cores can give to all of them."""
EPOCHS, EPOCH_STEPS = 10, 30
"""Validations of a part, the best of which is kept, at most, and the fewest steps between two: they cost more than few steps."""
STEPS_FILE = Path(__file__).parent / "steps.json"
DOSE_RANGE = (0.10, 0.25)
RATE, LAST_LAYER_RATE = 1e-3, 0.02
"""Adam's, the paper's, and the share of it for the last convolution (see ``LevelConfig``)."""
NO_NORM_RATE, NO_NORM = 1e-4, ("redcnn", "wgan-vgg")
"""Networks without batch norm, with the rate of RED-CNN's paper; WGAN-VGG's own, 1e-5, is for a hundred times the steps."""


@dataclass(frozen=True)
class Granted:
    """What a part may take.

    Attributes:
        seconds_a_step: processor time that was measured.
        steps: that fill its share of the budget, a multiple of ``EPOCHS``.
    """

    seconds_a_step: float
    steps: int


def grant(share: float, seconds_a_step: float) -> Granted:
    """The steps that a share of the budget pays for; at least one an epoch."""
    return Granted(round(seconds_a_step, 3), EPOCHS * max(1, int(share * SECONDS / seconds_a_step / EPOCHS)))


def read_steps(path: Path = STEPS_FILE) -> dict[str, Granted]:
    """What was granted to each part.

    Raises:
        InputError: the file is missing or lacks a part.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["parts"]
        return {name: Granted(**found[name]) for name in PARTS}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not tell the steps of every part ({error}); measure them with --measure-steps.") from error


def validations(steps: int) -> int:
    """How many validations a part has, evenly spread over its steps."""
    most = max(1, min(EPOCHS, steps // EPOCH_STEPS))
    return next(count for count in range(most, 0, -1) if steps % count == 0)


def part_config(part: Part, steps: int, split: DataConfig, perceptual: float | None = None) -> TrainingConfig:
    """How a part is trained: the network and the loss of its configuration, all else the same for all.

    Args:
        part: to train.
        steps: of it.
        split: names the patients.
        perceptual: weight of L_P in place of the configuration's.
    """
    recipe = load_config(part.config)
    held = tuple(replace(level, steps=0, loss=LossConfig()) for level in recipe.levels[: part.index])
    own = recipe.levels[part.index]
    loss = own.loss if perceptual is None else replace(own.loss, perceptual=perceptual)
    level = LevelConfig(
        own.network,
        own.predicts,
        steps,
        own.sees,
        learning_rate=NO_NORM_RATE if part.config in NO_NORM else RATE,
        betas=own.betas,
        last_layer_rate=LAST_LAYER_RATE * (RATE / NO_NORM_RATE if part.config in NO_NORM else 1),
        schedule="cosine",
        weights="best",
        # A first level sees the raw noise. A later one is left with less than bfloat16's rounding.
        precision="bf16-mixed" if part.index == 0 and not own.loss.adversarial else "32",
        loss=loss,
    )
    return TrainingConfig(
        part.name,
        recipe.purpose,
        (*held, level),
        DataConfig(dose_range=DOSE_RANGE, validate=split.validate, test=split.test),
        seed=part.seed,
        steps_per_epoch=steps // validations(steps),
        batch_norm_batches=25,
    )


def measure_step(part: Part, split: DataConfig, vgg_weights: Path | None) -> float:
    """Processor seconds of a step of a part on this machine, with one thread."""
    config = part_config(part, EPOCHS, split)
    module = level_module(channels_last(new_cascade(config)), part.index, config, vgg_weights)
    module.on_fit_start()
    level, data, cpu = config.levels[part.index], config.data, torch.device("cpu")
    size = data.batch_size, data.patch_size
    seconds = time_steps(module, level, *size, cpu, all_terms=True, clock=time.process_time)
    if isinstance(module, AdversarialTraining):
        seconds += module.batches_per_step * _critic_seconds(module, *size)
    return seconds


def _critic_seconds(module: AdversarialTraining, count: int, side: int) -> float:
    """Processor seconds of a step of the critic, its result included."""
    low = torch.randn(count, 1, side, side) * 50
    share = torch.rand(count, 1, 1, 1)

    def step() -> None:
        with torch.no_grad():
            result = module.denoise(low)
        module.critic_loss(result, DEFAULT_SCALE.to_unit(torch.zeros_like(low)), share).backward()

    return median_seconds(step, time.process_time)


def measure_steps(split: DataConfig, vgg_weights: Path | None, path: Path = STEPS_FILE) -> dict[str, Granted]:
    """Measure a step of every kind, and write what each part is granted. Parts of the same kind are measured once."""
    known: dict[object, float] = {}
    granted: dict[str, Granted] = {}
    for part in PARTS.values():
        config = part_config(part, EPOCHS, split)
        loss = config.levels[part.index].loss
        terms = loss.mse > 0, loss.perceptual > 0, loss.adversarial > 0
        kind = tuple(level.network for level in config.levels), terms
        if kind not in known:
            known[kind] = measure_step(part, split, vgg_weights)
        granted[part.name] = grant(part.share, known[kind])
        print(f"{part.name}: {granted[part.name].seconds_a_step:.2f} s a step, {granted[part.name].steps} steps", flush=True)
    machine = describe(torch.device("cpu"))
    record = {
        "machine": {key: machine[key] for key in ("processor", "instructions", "threads")} | {"torch": torch.__version__},
        "load": round(os.getloadavg()[0], 1),
        "seconds_a_system": SECONDS,
        "parts": {name: asdict(one) for name, one in granted.items()},
    }
    with replace_when_complete(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return granted


def hours(names: Sequence[str], granted: Mapping[str, Granted]) -> float:
    """Processor hours of the steps of some parts."""
    return sum(granted[name].seconds_a_step * granted[name].steps for name in names) / 3600


def plan_text(granted: Mapping[str, Granted], left: Sequence[str]) -> str:
    """The plan as a table in text, with the hours of the parts that are left."""
    lines = [f"{'part':<12} {'share':>6} {'s a step':>9} {'steps':>6} {'hours':>6}"]
    for name, part in PARTS.items():
        one = granted[name]
        done = "" if name in left else "  finished"
        lines.append(
            f"{name:<12} {part.share:>6.0%} {one.seconds_a_step:>9.2f} {one.steps:>6} {hours([name], granted):>6.2f}{done}"
        )
    lines.append(
        f"{hours(list(PARTS), granted):.1f} processor hours in all, {hours(left, granted):.1f} left ({len(left)} parts)."
    )
    return "\n".join(lines)
