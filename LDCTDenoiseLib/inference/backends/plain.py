"""A network by plain PyTorch calls: the backend of every device, and what faster ones fall back to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ...models.networks import DenoisingNetwork
from ...models.networks.convolution import INPUT, Convolution
from ...models.networks.denoising_network import padded_to
from .taps import convolve_to_one_channel


class PlainNetwork(nn.Module):
    """A network's convolutions, folded, channels-last, in the precision that each of them bears.

    Input and output: as the network's, float32.

    Args:
        network: not changed.
        device: where it computes.
        precision: of the convolutions that bear it.
    """

    def __init__(self, network: DenoisingNetwork, device: torch.device, precision: torch.dtype) -> None:
        super().__init__()
        self._smallest = network.smallest
        self._adds_input = network.adds_input
        self._steps = network.convolutions()
        self._types = [one.precision(precision, device) for one in self._steps]
        self._weights = [
            [weight.to(device, kind).contiguous(memory_format=torch.channels_last) for weight in one.weights]
            for one, kind in zip(self._steps, self._types, strict=True)
        ]
        self._biases = [one.bias.to(device, kind) for one, kind in zip(self._steps, self._types, strict=True)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.shape[-2:]
        image = padded_to(x, self._smallest).contiguous(memory_format=torch.channels_last)
        result = self._run(image)
        if self._adds_input:
            result = result + image[:, :1]
        return result[..., :rows, :columns]

    def _run(self, image: torch.Tensor) -> torch.Tensor:
        maps = {INPUT: image}
        uses = count_uses(self._steps)
        for number, one in enumerate(self._steps):
            kind = self._types[number]
            sources = [maps[name].to(kind) for name in one.sources]
            added = None if one.added is None else maps[one.added].to(kind)
            maps[one.result] = self._step(number, sources, added)
            for name in used_by(one):
                uses[name] -= 1
                if uses[name] == 0:
                    del maps[name]
        return maps[self._steps[-1].result]

    def _step(self, number: int, sources: Sequence[torch.Tensor], added: torch.Tensor | None) -> torch.Tensor:
        one, weights, bias = self._steps[number], self._weights[number], self._biases[number]
        if len(bias) == 1 and one.dilation == 1:
            result = convolve_to_one_channel(sources, weights, bias, one.padding)
        else:
            result = F.conv2d(sources[0], weights[0], bias, padding=one.padding, dilation=one.dilation)
            for source, weight in zip(sources[1:], weights[1:], strict=True):
                result += F.conv2d(source, weight, padding=one.padding, dilation=one.dilation)
        if added is not None:
            result += added
        return result.relu_() if one.relu else result


def used_by(one: Convolution) -> list[str]:
    """Names of the feature maps that a step reads."""
    return [*one.sources, *([one.added] if one.added is not None else [])]


def count_uses(steps: Sequence[Convolution]) -> Counter[str]:
    """How often each feature map is read: after the last time its memory is free."""
    return Counter(name for one in steps for name in used_by(one))
