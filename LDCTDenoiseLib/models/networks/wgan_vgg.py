"""The generator of WGAN-VGG."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from .convolution import INPUT, Convolution, step
from .denoising_network import DenoisingNetwork
from .layers import in_float32, same_convolution


class WGANVGG(DenoisingNetwork):
    """Generator of WGAN-VGG: eight 3x3 convolutions with 32 filters, ReLU between them, no shortcut; receptive field 17 px.

    56,097 parameters. Published with a ReLU at the end too, which is left out: it would die of the zero that trainings start
    from, and results below -1024 HU are no use for it.

    Input and output: (batch, 1, rows, columns), scaled HU (see ``ct/hu.py``); any size.

    Reference: Yang et al., IEEE Trans Med Imaging 2018;37:1348.
    """

    radius = 8

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(same_convolution(1 if i == 0 else 32, 1 if i == 7 else 32, 3) for i in range(8))

    @property
    def first_layer(self) -> nn.Conv2d:
        return self.layers[0]  # type: ignore[return-value]

    @property
    def last_layer(self) -> nn.Conv2d:
        return self.layers[7]  # type: ignore[return-value]

    def convolutions(self) -> list[Convolution]:
        # Without a shortcut every layer carries the absolute HU, which bears no coarser type.
        names = [INPUT, *(f"y{i}" for i in range(1, 9))]
        return [
            step(name, [before], layer, relu=name != names[-1], coarsest=torch.float32)  # type: ignore[arg-type]
            for (before, name), layer in zip(pairwise(names), self.layers, strict=True)
        ]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(in_float32(layer, x))  # type: ignore[arg-type]
        return in_float32(self.last_layer, x)
