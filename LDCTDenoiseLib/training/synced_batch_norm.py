"""Batch norm over the batches of all processes, so that several processes learn what one with the whole batch would."""

from __future__ import annotations

import torch
from torch import distributed, nn


class _Mean(torch.autograd.Function):
    """Mean over the processes; the gradient of one's value comes from all of them."""

    @staticmethod
    def forward(context: object, value: torch.Tensor) -> torch.Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    @staticmethod
    def backward(context: object, gradient: torch.Tensor) -> torch.Tensor:
        return _Mean.forward(context, gradient)


class SyncedBatchNorm(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` whose statistics in training are those of all processes' batches, of equal size.

    PyTorch's own SyncBatchNorm refuses the CPU, where the tests are.

    Input and output: (batch, features, rows, columns).
    """

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> SyncedBatchNorm:
        """One with the same settings and state."""
        synced = cls(norm.num_features, eps=norm.eps, momentum=norm.momentum)
        synced.load_state_dict(norm.state_dict())
        return synced

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or not distributed.is_initialized():
            return super().forward(x)
        values = x.float()
        mean = _Mean.apply(values.mean(dim=(0, 2, 3)))
        centred = values - mean[:, None, None]
        variance = _Mean.apply(centred.square().mean(dim=(0, 2, 3)))
        count = distributed.get_world_size() * x.numel() / self.num_features
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def sync_batch_norm(network: nn.Module) -> None:
    """Replace the batch norms of a network in place."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d) and not isinstance(module, SyncedBatchNorm):
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, SyncedBatchNorm.like(module))
