"""Exponential moving average of a level's weights."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging

from ..level_training import LevelTraining


class AverageWeights(EMAWeightAveraging):
    """Lightning's moving average, for checkpoints that hold the trained level alone (``LevelTraining.on_save_checkpoint``)."""

    def __init__(self, decay: float) -> None:
        super().__init__(decay=decay)
        self._untouched: dict[str, torch.Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, LevelTraining)
        state = pl_module.state_dict()
        self._untouched = {name: state[name].clone() for name in state if not name.startswith(pl_module.trained)}
        super().on_train_start(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        # Averages of weights that stay as they are drift by rounding.
        pl_module.load_state_dict(self._untouched, strict=False)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        for kept in ("state_dict", "current_model_state"):  # the second is not there if no average was asked for before
            if kept in checkpoint:
                checkpoint[kept] = pl_module.state_dict() | checkpoint[kept]
        if checkpoint["global_step"] >= trainer.max_steps:
            # Lightning calls no on_train_end for a level that was finished before.
            checkpoint["current_model_state"] = checkpoint["state_dict"]
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
