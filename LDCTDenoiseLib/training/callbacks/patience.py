"""The end of a level that gets no better."""

from __future__ import annotations

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping

from ..level_training import VALIDATION_PSNR


class Patience(EarlyStopping):
    """Lightning's early stopping by the validation's PSNR; a level that had ended stays ended when its run is resumed.

    Args:
        epochs: without a higher PSNR after which the level ends.
    """

    def __init__(self, epochs: int) -> None:
        # Not strict: Lightning ends the epoch of a checkpoint once more when it goes on from it, without a validation.
        super().__init__(VALIDATION_PSNR, mode="max", patience=epochs, strict=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True
