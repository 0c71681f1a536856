"""Batch norm folded into the convolution before it, for inference."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def folded(layer: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a convolution that does what a layer with bias and its batch norm (at inference) did together."""
    weight, bias = layer.weight.detach(), layer.bias
    assert bias is not None, "every layer of these networks has a bias"
    if norm is None:
        return weight, bias.detach()
    weight, bias = fuse_conv_bn_weights(
        weight,
        bias,
        norm.running_mean,  # type: ignore[arg-type]  # batch norms of these networks keep statistics
        norm.running_var,  # type: ignore[arg-type]
        norm.eps,
        norm.weight,
        norm.bias,
        transpose=isinstance(layer, nn.ConvTranspose2d),
    )
    return weight.detach(), bias.detach()
