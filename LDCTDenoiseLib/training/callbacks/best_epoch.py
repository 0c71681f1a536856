"""The best epoch of a level, and the end of its patience."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback

from ...system.files import replace_when_complete
from ..level_training import VALIDATION_PSNR, LevelTraining


class BestEpoch(Callback):
    """Keeps the network of the epoch with the highest validation PSNR, and ends a level that gets no better.

    Args:
        path: where its weights go.
        patience: epochs without a higher PSNR after which the level ends; 0 never ends it.

    Attributes:
        psnr_db: the highest so far.
        step: of that epoch.
    """

    def __init__(self, path: Path, patience: int) -> None:
        self.path = path
        self.patience = patience
        self.psnr_db = float("-inf")
        self.step = 0
        self.waited = 0

    def on_train_start(self, trainer: Trainer, module: Any) -> None:
        self._end_if_out_of_patience(trainer)  # a level that had ended before the run was resumed

    def on_train_epoch_end(self, trainer: Trainer, module: Any) -> None:
        if VALIDATION_PSNR not in trainer.callback_metrics:
            return  # Lightning ends the epoch of a checkpoint once more when it goes on from it
        psnr_db = float(trainer.callback_metrics[VALIDATION_PSNR])
        if psnr_db > self.psnr_db:
            self.psnr_db, self.step, self.waited = psnr_db, trainer.global_step, 0
            if trainer.is_global_zero:
                with replace_when_complete(self.path) as temporary, temporary.open("wb") as file:
                    torch.save(module.network.state_dict(), file)
        else:
            self.waited += 1
        self._end_if_out_of_patience(trainer)

    def _end_if_out_of_patience(self, trainer: Trainer) -> None:
        if self.patience and self.waited >= self.patience:
            trainer.should_stop = True

    def restore(self, module: LevelTraining) -> None:
        """Give the network the weights of the best epoch."""
        module.network.load_state_dict(torch.load(self.path, map_location="cpu", weights_only=True))

    def state_dict(self) -> dict[str, Any]:
        return {"psnr_db": self.psnr_db, "step": self.step, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.psnr_db, self.step, self.waited = state["psnr_db"], state["step"], state["waited"]
