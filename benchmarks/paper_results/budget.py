"""How long a system is trained without a GPU: one small budget, the same for all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from LDCTDenoiseLib.inference.backends import onednn
from LDCTDenoiseLib.training.config import LevelConfig, TrainingConfig


@dataclass(frozen=True)
class Budget:
    """Optimiser steps and what goes with them.

    Attributes:
        first_steps, later_steps: of a cascade's first level and of each later one.
        steps_per_epoch: must divide both.
        batch_norm_batches: as in ``TrainingConfig``.
    """

    first_steps: int
    later_steps: int
    steps_per_epoch: int
    batch_norm_batches: int


SMALL = Budget(first_steps=400, later_steps=200, steps_per_epoch=200, batch_norm_batches=50)


def within(budget: Budget, config: TrainingConfig) -> TrainingConfig:
    """A configuration of the paper within a budget: networks, losses, data and seed stay, steps and schedule change.

    The paper's constant rate needs its hundred thousand steps: until then the last convolution, whose weights act in units of
    4,095 HU, shakes the result by tens of HU from one step to the next, and a few hundred steps would show that and no
    difference between the systems. A cosine down to zero and a slower last convolution calm it (the rates of
    the configuration ``demo``), for all alike.
    """
    first, later = config.levels[0], config.levels[1:]
    # A first level sees the raw noise. A later one is left with less than bfloat16's rounding.
    fast = "bf16-mixed" if onednn.has_bfloat16() else "32"
    return replace(
        config,
        levels=(_level(first, budget.first_steps, fast), *(_level(one, budget.later_steps, "32") for one in later)),
        steps_per_epoch=budget.steps_per_epoch,
        batch_norm_batches=budget.batch_norm_batches,
    )


def _level(level: LevelConfig, steps: int, precision: str) -> LevelConfig:
    return replace(
        level, steps=steps, precision=precision, learning_rate=2e-3, last_layer_rate=0.02, schedule="cosine", drop_at=()
    )
