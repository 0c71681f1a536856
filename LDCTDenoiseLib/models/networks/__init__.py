"""The networks of the cascade, by the names under which model files and configurations record them.

A network takes (batch, channels, rows, columns) in network units (see ``ct/hu.py``) and gives (batch, 1, rows, columns)
of the same size. ``network.radius`` is the receptive field's radius in pixels: the halo that a tile needs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from .cnn10 import CNN10
from .denoising_network import DenoisingNetwork
from .drl import DRL, DRLEdge
from .redcnn import REDCNN
from .wgan_vgg import WGANVGG

__all__ = [
    "CNN10",
    "DRL",
    "NETWORKS",
    "REDCNN",
    "WGANVGG",
    "DRLEdge",
    "DenoisingNetwork",
    "build_network",
    "count_parameters",
    "initialise",
]

NETWORKS: dict[str, Callable[[], DenoisingNetwork]] = {
    "drl": DRL,
    "drl-difference": lambda: DRL(add_input=False),
    "drl-edge": DRLEdge,
    "cnn10": CNN10,
    "cnn10-wu": lambda: CNN10(input_channels=2),
    "redcnn": REDCNN,
    "wgan-vgg": WGANVGG,
}


def build_network(name: str) -> DenoisingNetwork:
    """A fresh network by its recorded name.

    Raises:
        ValueError: no network has this name.
    """
    if name not in NETWORKS:
        raise ValueError(f"There is no network named '{name}'; choose one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]()


def count_parameters(network: nn.Module) -> int:
    """Parameters as Keras and the papers count them: trainable plus batch norm's running means and variances."""
    # One running mean and one running variance per feature.
    running = sum(m.num_features * 2 for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    return running + sum(p.numel() for p in network.parameters())


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
