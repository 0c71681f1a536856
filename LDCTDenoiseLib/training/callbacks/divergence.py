"""NaN detection: a level whose loss is no longer finite ends."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback

from ...errors import TrainingError


class Divergence(Callback):
    """Ends a training whose loss or weights are NaN or infinite, before a checkpoint of them replaces the last good one.

    Args:
        level: one-based, for the sentence.
    """

    every = 50
    """Steps between two looks: each waits for the device."""

    def __init__(self, level: int) -> None:
        self.level = level
        self._sum: torch.Tensor | float = 0.0

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        # A sum stays NaN once it is; adding does not wait for the device.
        self._sum = self._sum + (outputs["loss"] if isinstance(outputs, dict) else outputs).detach()
        if (batch_index + 1) % self.every == 0:
            self._look(trainer, self._sum)

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        weights = sum(parameter.detach().sum() for parameter in module.network.parameters())
        self._look(trainer, self._sum + weights)
        self._sum = 0.0

    def _look(self, trainer: Trainer, value: torch.Tensor | float) -> None:
        if not torch.isfinite(torch.as_tensor(value)):
            raise TrainingError(
                f"The loss of level {self.level} became NaN or infinite by step {trainer.global_step}; the last good checkpoint "
                "is kept. Lower learning_rate or set gradient_clip."
            )
