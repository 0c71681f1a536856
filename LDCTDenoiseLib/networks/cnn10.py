"""The ten-layer convolutional network that the cascade papers start from."""

from __future__ import annotations

import torch
from torch import nn

from .denoising_network import DenoisingNetwork
from .layers import in_float32, keras_batch_norm, same_convolution


class CNN10(DenoisingNetwork):
    """Plain 3x3 network of eleven convolutions: one in, nine with batch norm, one out; receptive field 23 px.

    335,873 parameters with one input channel, 336,449 with two (batch-norm statistics included).
    With two input channels, original and previous result, it is the difference network of Wu's cascade.

    Input: (batch, input_channels, rows, columns), scaled HU (see ``hu.py``); any size.
    Output: (batch, 1, rows, columns).

    References: Ataei et al., arXiv 2006.14738 (CNN10); Wu et al., arXiv 1705.04267 (cascade).
    """

    radius = 11

    def __init__(self, *, input_channels: int = 1) -> None:
        super().__init__()
        self.first = same_convolution(input_channels, 64, 3)
        self.middle = nn.Sequential()
        for _ in range(9):
            self.middle.extend([same_convolution(64, 64, 3), keras_batch_norm(64), nn.ReLU()])
        self.last = same_convolution(64, 1, 3)

    @property
    def first_layer(self) -> nn.Conv2d:
        return self.first

    @property
    def last_layer(self) -> nn.Conv2d:
        return self.last

    def convolution_norm_pairs(self) -> list[tuple[str, str]]:
        return [(f"middle.{i}", f"middle.{i + 1}") for i in range(0, len(self.middle), 3)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.middle(torch.relu(in_float32(self.first, x)))
        return in_float32(self.last, y)
