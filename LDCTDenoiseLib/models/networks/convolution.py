"""A convolution as data: what a network does at inference, step by step, for whatever computes it (``inference.backends``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from .folding import folded

INPUT = "input"
"""Name of the feature map that a network is given."""


@dataclass(frozen=True)
class Convolution:
    """One step: the convolutions of one or several feature maps, summed, plus bias, plus a feature map, then ReLU.

    A convolution of concatenated maps is the sum of the maps' convolutions: nothing has to be concatenated.

    Attributes:
        result: name of the feature map that it makes.
        sources: names of the maps that are convolved.
        weights: for every source (output channels, source channels, size, size).
        bias: (output channels,).
        padding: zeros around the maps, px; None keeps their size.
        dilation: distance of the kernel's taps, px.
        relu: cut negative results.
        added: name of a map that is added before the ReLU.
        coarsest: the least precise type whose error does not show in the result (docs/performance.md has the figures).
    """

    result: str
    sources: tuple[str, ...]
    weights: tuple[torch.Tensor, ...]
    bias: torch.Tensor
    padding: int
    dilation: int = 1
    relu: bool = True
    added: str | None = None
    coarsest: torch.dtype = field(default=torch.bfloat16)

    @property
    def size(self) -> int:
        """Side of the kernel in taps."""
        return self.weights[0].shape[-1]

    def precision(self, asked: torch.dtype, device: torch.device) -> torch.dtype:
        """The type to compute in when ``asked`` is wanted: never coarser than the layer bears."""
        if asked == torch.float32 or self.coarsest == torch.float32:
            return torch.float32
        if asked == torch.bfloat16 and self.coarsest == torch.float16:
            return torch.float16 if device.type == "cuda" else torch.float32
        return asked


def step(
    result: str,
    sources: Sequence[str],
    layer: nn.Conv2d | nn.ConvTranspose2d,
    norm: nn.BatchNorm2d | None = None,
    *,
    channels: Sequence[int] | None = None,
    relu: bool = True,
    added: str | None = None,
    coarsest: torch.dtype = torch.bfloat16,
) -> Convolution:
    """A layer with its batch norm as a step.

    Args:
        layer: of stride 1.
        norm: follows the layer; None if nothing does.
        channels: how many channels each source has; None where there is one source.

    The other arguments are those of :class:`Convolution`.
    """
    weight, bias = folded(layer, norm)
    dilation = int(layer.dilation[0])
    padding = int(layer.padding[0])
    if isinstance(layer, nn.ConvTranspose2d):  # the convolution with the turned kernel, and padding by all but what was cut
        weight = weight.transpose(0, 1).flip(2, 3)
        padding = dilation * (weight.shape[-1] - 1) - padding
    parts = weight.split(list(channels or [weight.shape[1]]), dim=1)
    return Convolution(result, tuple(sources), tuple(parts), bias, padding, dilation, relu, added, coarsest)
