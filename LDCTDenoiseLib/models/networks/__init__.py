"""The networks of ``models.architectures`` as PyTorch modules.

Every network takes (batch, channels, rows, columns) in network units and gives (batch, 1, rows, columns)
of the same size.
"""

from __future__ import annotations

import torch
from torch import nn

from ..architectures import NETWORKS, find_architecture
from .denoising_network import DenoisingNetwork

__all__ = ["NETWORKS", "DenoisingNetwork", "build_network", "count_parameters", "initialise"]


def build_network(name: str) -> DenoisingNetwork:
    """A fresh network by its recorded name.

    Raises:
        ValueError: no network has this name.
    """
    return DenoisingNetwork(find_architecture(name))


def count_parameters(network: DenoisingNetwork) -> int:
    """Parameters as Keras and the papers count them: trainable plus batch norm's running means and variances."""
    return network.architecture.parameters


def initialise(network: DenoisingNetwork) -> None:
    """Random weights to start a training from: He's for the convolutions, zero for the last one.

    A zero last convolution starts an image network at the identity and a difference network at no difference. The first
    convolution's kernels have zero mean: soft tissue lies near 0.25 in network units and its noise near 0.005, which the
    network would otherwise first have to learn to tell from the offset.

    Reference: He et al., arXiv 1502.01852.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    with torch.no_grad():
        network.first_layer.weight -= network.first_layer.weight.mean(dim=(2, 3), keepdim=True)
    nn.init.zeros_(network.last_layer.weight)
