"""Training of one level of a cascade on the results of the levels before it."""

from __future__ import annotations

import math
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler

from ..cascade import Cascade
from ..hu import DEFAULT_SCALE
from ..metrics import ABDOMEN, psnr
from ..networks import DenoisingNetwork
from ..networks.layers import without_autocast
from .config import LevelConfig
from .perceptual import PerceptualLoss

ERROR_FLOOR_HU = 3.0
"""Error that a patch is allowed even without inserted noise, when patches are weighted by their noise."""


class LevelTraining(LightningModule):
    """Lightning module that trains network ``index`` of a cascade; earlier networks are frozen.

    Whatever a level predicts, its loss compares its *result* with the normal dose: for a difference that is the
    squared error of the difference itself.

    Args:
        cascade: with the earlier levels trained.
        index: zero-based level to train.
        config: the level's steps and loss.
        perceptual: the perceptual loss, when the level has one.
    """

    def __init__(self, cascade: Cascade, index: int, config: LevelConfig, perceptual: PerceptualLoss | None = None) -> None:
        super().__init__()
        self.cascade = cascade
        self.index = index
        self.config = config
        # Held in a tuple: a registered sub-module would put VGG into every checkpoint.
        self._perceptual = (perceptual,)
        self.cascade.requires_grad_(False)
        self.network.requires_grad_(True)
        self.strict_loading = False  # see on_save_checkpoint

    @property
    def network(self) -> DenoisingNetwork:
        return self.cascade.network(self.index)

    @property
    def halo(self) -> int:
        """Pixels around a patch that the earlier levels need to see it as they would in a whole slice."""
        return self.cascade.radius(self.index) if self.index else 0

    def train(self, mode: bool = True) -> LevelTraining:
        super().train(mode)
        # The earlier levels' batch norm must not learn from, or depend on, this level's batches.
        for network in self.cascade.networks[: self.index]:
            network.eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep this level's network only: earlier ones have checkpoints of their own, which may go on training.

        ModelCheckpoint's memory goes too: it is a path on this machine, and a run folder may travel.
        """
        state, callbacks = checkpoint["state_dict"], checkpoint["callbacks"]
        for key in [key for key in state if not key.startswith(f"cascade.networks.{self.index}.")]:
            del state[key]
        for key in [key for key in callbacks if key.startswith("ModelCheckpoint")]:
            del callbacks[key]

    def on_fit_start(self) -> None:
        for perceptual in self._perceptual:
            if perceptual is not None:
                perceptual.to(self.device)

    def denoise(self, low: torch.Tensor, halo: int = 0) -> torch.Tensor:
        """The level's result in network units for low-dose HU; the halo is cut off before the level itself."""
        original = DEFAULT_SCALE.to_unit(low).contiguous(memory_format=torch.channels_last)
        previous = original
        if self.index:
            # In float32, as inference does it: a level shown results in bfloat16 learns to mend their rounding.
            with torch.no_grad(), without_autocast(low.device):
                previous = self.cascade(original, levels=self.index)
        return self.cascade.step(self.index, _crop(original, halo), _crop(previous, halo))

    def loss(self, result: torch.Tensor, full: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        """Loss of a result in network units against normal dose in HU; ``low`` gives the noise for the weights."""
        settings = self.config.loss
        target = DEFAULT_SCALE.to_unit(full)
        loss = settings.mse * (result.float() - target).square().mean(dim=(1, 2, 3))
        (perceptual,) = self._perceptual
        if perceptual is not None and self.global_step >= settings.perceptual_from_step:
            hu = DEFAULT_SCALE.to_hu_difference(result.float()) - DEFAULT_SCALE.offset
            loss = loss + settings.perceptual * perceptual(hu, full)
        if settings.noise_weighted:
            inserted_variance = (low - full).var(dim=(1, 2, 3))
            expected = (inserted_variance / 4 + ERROR_FLOOR_HU**2) / DEFAULT_SCALE.width**2
            loss = loss / expected
        return loss.mean()

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_index: int) -> torch.Tensor:
        full, low = batch
        result = self.denoise(low, self.halo)
        loss = self.loss(result, _crop(full, self.halo), _crop(low, self.halo))
        self.log("loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_index: int) -> None:
        full, low = batch
        with without_autocast(low.device):  # as inference does it
            result = DEFAULT_SCALE.to_hu_difference(self.denoise(low)) - DEFAULT_SCALE.offset
        gain = psnr(result, full, ABDOMEN) - psnr(low, full, ABDOMEN)
        # Even batches hold the higher dose, see ValidationSlices.
        name = "gain_db_dose_0.25" if batch_index % 2 == 0 else "gain_db_dose_0.10"
        self.log(name, gain, batch_size=1, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        last = list(self.network.last_layer.parameters())
        others = [p for p in self.network.parameters() if not any(p is q for q in last)]
        rate = self.config.learning_rate
        groups = [{"params": others, "lr": rate}, {"params": last, "lr": rate * self.config.last_layer_rate}]
        # Losses in network units are tiny (1 HU squared is 6e-8): Adam's usual epsilon of 1e-8 would stop the learning.
        optimizer = torch.optim.Adam(groups, eps=1e-14)
        if self.config.schedule == "constant":
            return optimizer
        # A function of the step, not CosineAnnealingLR, whose saved length would outlive a longer schedule on resume.
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self._cosine)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _cosine(self, step: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.config.steps)))


def _crop(images: torch.Tensor, halo: int) -> torch.Tensor:
    return images[..., halo : images.shape[-2] - halo, halo : images.shape[-1] - halo] if halo else images
