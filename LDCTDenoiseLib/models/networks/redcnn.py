"""The residual encoder-decoder network (RED-CNN), which other methods are compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from .convolution import INPUT, Convolution, step
from .denoising_network import DenoisingNetwork, padded_to
from .layers import in_float32


class REDCNN(DenoisingNetwork):
    """Residual encoder-decoder: five convolutions that cut the borders, five transposed ones that give them back.

    All 5x5 with 96 channels, ReLU after each, shortcuts from the input and from the second and fourth convolution;
    receptive field 41 px; 1,848,865 parameters, no batch norm.

    Input and output: (batch, 1, rows, columns), scaled HU (see ``ct/hu.py``); sides below 21 px are padded with zeros.

    Reference: Chen et al., IEEE Trans. Med. Imaging 36(12), 2017, arXiv 1702.00288.
    """

    radius = 20
    smallest = 21

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(nn.Conv2d(1 if i == 0 else 96, 96, 5) for i in range(5))
        self.decoder = nn.ModuleList(nn.ConvTranspose2d(96, 1 if i == 4 else 96, 5) for i in range(5))

    @property
    def first_layer(self) -> nn.Conv2d:
        return self.encoder[0]  # type: ignore[return-value]

    @property
    def last_layer(self) -> nn.ConvTranspose2d:
        return self.decoder[4]  # type: ignore[return-value]

    def convolutions(self) -> list[Convolution]:
        added = {"d1": "e4", "d3": "e2", "d5": INPUT}
        coarsest = {"e1": torch.float32, "e2": torch.float16, "d5": torch.float32}  # what carries the absolute HU, as in DRL
        steps, before = [], INPUT
        for name, layer in self._layers():
            steps.append(step(name, [before], layer, added=added.get(name), coarsest=coarsest.get(name, torch.bfloat16)))
            before = name
        return steps

    def _layers(self) -> Iterator[tuple[str, nn.Conv2d | nn.ConvTranspose2d]]:
        for half, layers in (("e", self.encoder), ("d", self.decoder)):
            for number, layer in enumerate(layers, start=1):
                yield f"{half}{number}", cast(nn.ConvTranspose2d, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.shape[-2:]
        image = padded_to(x, self.smallest)
        e1 = F.relu(in_float32(self.first_layer, image))
        e2 = F.relu(self.encoder[1](e1))
        e3 = F.relu(self.encoder[2](e2))
        e4 = F.relu(self.encoder[3](e3))
        e5 = F.relu(self.encoder[4](e4))
        d1 = F.relu(self.decoder[0](e5) + e4)
        d2 = F.relu(self.decoder[1](d1))
        d3 = F.relu(self.decoder[2](d2) + e2)
        d4 = F.relu(self.decoder[3](d3))
        return F.relu(in_float32(self.last_layer, d4) + image)[..., :rows, :columns]
