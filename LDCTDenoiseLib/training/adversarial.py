"""Adversarial training: a critic that tells results from normal-dose patches, and a level that learns to please it."""

from __future__ import annotations

from typing import Any, cast

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import nn
from torch.nn import functional as F

from ..ct.hu import DEFAULT_SCALE
from .level_training import LevelTraining, crop
from .patches.samples import Images

_WIDTHS = (64, 64, 128, 128, 256, 256)
_STRIDES = (1, 2, 1, 2, 1, 2)
_SLOPE = 0.2


class Critic(nn.Module):
    """Six 3x3 convolutions, two fully connected layers, leaky ReLU: how normal a patch looks, without bound.

    Input: (batch, 1, side, side), scaled HU. Output: (batch,).

    Args:
        side: of a patch, a multiple of 8 px.

    Reference: Yang et al., IEEE Trans Med Imaging 2018;37:1348.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential()
        channels = 1
        for width, stride in zip(_WIDTHS, _STRIDES, strict=True):
            self.convolutions.extend([nn.Conv2d(channels, width, 3, stride, padding=1), nn.LeakyReLU(_SLOPE)])
            channels = width
        self.hidden = nn.Linear(channels * (side // 8) ** 2, 1024)
        self.opinion = nn.Linear(1024, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        features = self.convolutions(image).flatten(1)
        return self.opinion(F.leaky_relu(self.hidden(features), _SLOPE))[:, 0]


class AdversarialTraining(LevelTraining):
    """Training of a level against a Wasserstein critic with gradient penalty.

    Each batch improves the critic; every ``critic_steps``-th one is then a step of the network, whose loss is the level's
    other terms minus ``adversarial`` times the critic's mean opinion of the results.

    Args:
        side: of a patch, px; the others as in :class:`LevelTraining`.

    References: Yang et al., IEEE Trans Med Imaging 2018;37:1348 (WGAN-VGG); Gulrajani et al., arXiv 1704.00028.
    """

    def __init__(self, *arguments: Any, side: int) -> None:
        super().__init__(*arguments)
        self.critic = Critic(side)
        self.automatic_optimization = False
        self.batches_per_step = self.config.loss.critic_steps

    @property
    def trained(self) -> tuple[str, ...]:
        return (*super().trained, "critic.")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        for group in checkpoint["optimizer_states"][1]["param_groups"]:
            group["lr"] = self.config.learning_rate

    def training_step(self, batch: Images, batch_index: int) -> torch.Tensor:
        full, low = (crop(one, self.halo) for one in (batch.full, batch.low))
        optimizer, critic_optimizer = cast(list[LightningOptimizer], self.optimizers())
        result = self.denoise(batch.low, self.halo)

        # Seeded by its place in the run, so that a resumed one draws the same.
        generator = torch.Generator().manual_seed(self.current_epoch * 2**20 + batch_index)
        share = torch.rand(len(full), 1, 1, 1, generator=generator).to(full.device)
        loss = self.critic_loss(result.detach().float(), DEFAULT_SCALE.to_unit(full), share)
        critic_optimizer.zero_grad()
        self.manual_backward(loss)
        # Not through Lightning: its count of steps is the network's.
        critic_optimizer.optimizer.step()

        if (batch_index + 1) % self.batches_per_step == 0:
            loss = self.loss(result, full, low) - self.config.loss.adversarial * self.critic(result.float()).mean()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            cast(torch.optim.lr_scheduler.LambdaLR, self.lr_schedulers()).step()
            self.log_loss(loss)
        return loss.detach()

    def critic_loss(self, result: torch.Tensor, target: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Mean opinion of results minus that of normal dose, plus the penalty on gradients whose length is not 1.

        The penalty is taken between both: ``share`` of the normal dose, (batch, 1, 1, 1), and the rest of the result.
        """
        between = (share * target + (1 - share) * result).requires_grad_()
        (gradient,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
        return self.critic(result).mean() - self.critic(target).mean() + self.config.loss.gradient_penalty * penalty

    def configure_optimizers(self) -> Any:
        network = self.network_optimizer()
        critic = torch.optim.Adam(self.critic.parameters(), lr=self.config.learning_rate, betas=self.config.betas)
        return [network, critic], [self.rate_schedule(network)]
