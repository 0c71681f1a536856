"""The ten-layer convolutional network that the cascade papers start from."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import nn

from .convolution import INPUT, Convolution, step
from .denoising_network import DenoisingNetwork
from .layers import in_float32, keras_batch_norm, same_convolution


class CNN10(DenoisingNetwork):
    """Plain 3x3 network of eleven convolutions: one in, nine with batch norm, one out; receptive field 23 px.

    335,873 parameters with one input channel, 336,449 with two (batch-norm statistics included).
    With two input channels, original and previous result, it is the difference network of Wu's cascade.

    Input: (batch, input_channels, rows, columns), scaled HU (see ``ct/hu.py``); any size.
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

    def convolutions(self) -> list[Convolution]:
        names = [f"y{i}" for i in range(10)]
        steps = [step(names[0], [INPUT], self.first, coarsest=torch.float32)]
        for i, (before, name) in enumerate(pairwise(names)):
            layer, norm = cast(nn.Conv2d, self.middle[3 * i]), cast(nn.BatchNorm2d, self.middle[3 * i + 1])
            # The layer that sees y0, which carries the absolute HU, bears no bfloat16.
            steps.append(step(name, [before], layer, norm, coarsest=torch.float16 if i == 0 else torch.bfloat16))
        return [*steps, step("y10", [names[-1]], self.last, relu=False, coarsest=torch.float32)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.middle(torch.relu(in_float32(self.first, x)))
        return in_float32(self.last, y)
