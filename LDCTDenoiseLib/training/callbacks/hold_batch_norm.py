"""Batch-norm statistics estimated over many batches, at a level's end or held from a step on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.optim.swa_utils import update_bn

from ..level_training import LevelTraining
from ..patches.samples import Batch

Batches = Callable[[], Iterable[Batch]]


class _Network(nn.Module):
    """A level's network alone as a module, so that the norms of earlier levels are left as they are."""

    def __init__(self, module: LevelTraining) -> None:
        super().__init__()
        self.network = module.network
        self._module = (module,)  # a tuple: not a sub-module

    def forward(self, low: torch.Tensor) -> torch.Tensor:
        (module,) = self._module
        return module.denoise(low, module.halo)


def estimate_batch_norm(module: LevelTraining, batches: Iterable[Batch], device: torch.device) -> None:
    """Estimate the network's batch-norm statistics anew, in float32.

    The running ones wobble with the last few batches, and were taken in the training's precision.

    Args:
        module: whose network gets the statistics; afterwards in evaluation mode.
        batches: to see; every one counts the same.
        device: where to compute.
    """

    def low_doses() -> Iterator[torch.Tensor]:
        for batch in batches:
            yield module.transfer_batch_to_device(batch, device, 0).images().low

    module.to(device)
    module.norm_held = False
    module.eval()
    update_bn(low_doses(), _Network(module))
    module.eval()


class HoldBatchNorm(Callback):
    """Holds the statistics from a step on, so that the weights settle to what inference will use.

    In training mode every batch is normed by its own statistics, which no single slice has.

    Args:
        step: the end of an epoch; 0 holds the statistics that the weights come with, which they have learnt with.
        batches: makes the batches to estimate with.
    """

    def __init__(self, step: int, batches: Batches) -> None:
        self.step = step
        self.batches = batches

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        if trainer.global_step < self.step:
            return
        # Not twice: Lightning ends the epoch of a checkpoint once more when it goes on from it.
        if trainer.global_step == self.step > 0 and not module.norm_held:
            estimate_batch_norm(module, self.batches(), module.device)
        module.norm_held = True
        module.train()
