"""The dilated residual network (DRL), and its variant with an edge-detection layer in front."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .convolution import INPUT, Convolution, step
from .denoising_network import DenoisingNetwork
from .layers import in_float32, keras_batch_norm, same_convolution, without_autocast


class DRL(DenoisingNetwork):
    """Dilated residual network: low-dose CT slice to normal-dose CT slice.

    Seven convolutions with dilations 1-2-3-4-3-2-1 and two concatenated shortcuts; receptive field 35 px.
    225,601 parameters, batch-norm statistics included.

    Input: (batch, input_channels, rows, columns), scaled HU (see ``ct/hu.py``); any size.
    Output: (batch, 1, rows, columns).

    Args:
        add_input: add the network's input to its output, so that it gives an image. False is the difference form
            for later levels, with the same number of parameters: it gives a difference directly.
        input_channels: channels of the first convolution; with ``add_input`` the first channel is the image.

    References: Ataei, Alirezaie, Babyn, arXiv 2006.14738, Fig. 1; Gholizadeh-Ansari et al., arXiv 1902.10127.
    """

    radius = 17

    def __init__(self, *, add_input: bool = True, input_channels: int = 1) -> None:
        super().__init__()
        self.adds_input = add_input
        self.c1 = same_convolution(input_channels, 64, 5)
        self.c2 = same_convolution(64, 64, 3, dilation=2)
        self.c3 = same_convolution(64, 64, 3, dilation=3)
        self.c4 = same_convolution(64, 64, 3, dilation=4)
        self.c5 = same_convolution(64, 64, 3, dilation=3)
        self.c6 = same_convolution(128, 64, 3, dilation=2)
        self.c7 = same_convolution(128, 1, 3)
        self.bn2 = keras_batch_norm(64)
        self.bn3 = keras_batch_norm(64)
        self.bn4 = keras_batch_norm(64)
        self.bn5 = keras_batch_norm(64)
        self.bn6 = keras_batch_norm(64)

    @property
    def first_layer(self) -> nn.Conv2d:
        return self.c1

    @property
    def last_layer(self) -> nn.Conv2d:
        return self.c7

    def convolutions(self) -> list[Convolution]:
        return [
            step("y1", [INPUT], self.c1, coarsest=torch.float32),
            # y1 carries the absolute HU: rounded to bfloat16 it makes nine tenths of the whole network's error.
            step("y2", ["y1"], self.c2, self.bn2, coarsest=torch.float16),
            step("y3", ["y2"], self.c3, self.bn3),
            step("y4", ["y3"], self.c4, self.bn4),
            step("y5", ["y4"], self.c5, self.bn5),
            step("y6", ["y5", "y2"], self.c6, self.bn6, channels=[64, 64]),
            step("y7", ["y6", "y1"], self.c7, channels=[64, 64], relu=False, coarsest=torch.float32),
        ]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y1 = F.relu(in_float32(self.c1, x))
        y2 = F.relu(self.bn2(self.c2(y1)))
        y3 = F.relu(self.bn3(self.c3(y2)))
        y4 = F.relu(self.bn4(self.c4(y3)))
        y5 = F.relu(self.bn5(self.c5(y4)))
        y6 = F.relu(self.bn6(self.c6(torch.cat([y5, y2.to(y5.dtype)], dim=1))))
        y7 = in_float32(self.c7, torch.cat([y6.float(), y1], dim=1))
        return y7 + x[:, :1] if self.adds_input else y7


class DRLEdge(DRL):
    """DRL with a fixed edge-detection layer in front ("DRL+E").

    Four Sobel kernels (horizontal, vertical, two diagonals), not trained, give four edge images that are concatenated
    with the slice: five input channels, 232,001 parameters (the fixed kernels not counted), receptive field 37 px.

    Input and output: (batch, 1, rows, columns), scaled HU.

    Reference: Gholizadeh-Ansari, Alirezaie, Babyn, arXiv 1902.10127, section 3.2.
    """

    radius = 18

    def __init__(self) -> None:
        super().__init__(input_channels=5)
        horizontal = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
        diagonal = torch.tensor([[0.0, 1.0, 2.0], [-1.0, 0.0, 1.0], [-2.0, -1.0, 0.0]])
        kernels = torch.stack([horizontal, horizontal.T, diagonal, diagonal.flip(1)])
        self.edge_kernels: torch.Tensor
        # Not saved: the kernels are part of the definition, not of what was learnt.
        self.register_buffer("edge_kernels", kernels[:, None], persistent=False)

    def convolutions(self) -> list[Convolution]:
        _, *others = super().convolutions()
        edges = Convolution(
            "edges", (INPUT,), (self.edge_kernels,), self.edge_kernels.new_zeros(4), padding=1, relu=False, coarsest=torch.float32
        )
        first = step("y1", [INPUT, "edges"], self.c1, channels=[1, 4], coarsest=torch.float32)
        return [edges, first, *others]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with without_autocast(x.device):
            edges = F.conv2d(x, self.edge_kernels, padding=1)
        return super().forward(torch.cat([x, edges], dim=1))
