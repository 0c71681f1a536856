"""Batch norm folded into the convolutions before it, for inference."""

from __future__ import annotations

import copy
from typing import cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .denoising_network import DenoisingNetwork


def fold_batch_norm(network: DenoisingNetwork) -> DenoisingNetwork:
    """A copy of a network in evaluation mode whose convolutions do what convolution and batch norm did together.

    Args:
        network: in any mode; not changed.
    """
    folded = copy.deepcopy(network).eval()
    for convolution, norm in network.convolution_norm_pairs():
        pair = cast(nn.Conv2d, folded.get_submodule(convolution)), cast(nn.BatchNorm2d, folded.get_submodule(norm))
        fused = fuse_conv_bn_eval(*pair)
        _replace(folded, convolution, fused)
        _replace(folded, norm, nn.Identity())
    return folded


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    # nn.Module.set_submodule came after the oldest torch that is supported.
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
