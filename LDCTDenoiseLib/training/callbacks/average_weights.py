"""Exponential moving average of a level's weights."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging


class AverageWeights(EMAWeightAveraging):
    """Lightning's moving average, for checkpoints that hold the trained level alone (``LevelTraining.on_save_checkpoint``)."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = pl_module.state_dict() | checkpoint["state_dict"]
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
