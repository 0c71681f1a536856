"""A network by plain PyTorch calls: the backend of every device, and what faster ones fall back to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ...models.architectures.architecture import INPUT, Architecture, Precision, count_uses
from ...models.convolution import Convolution
from ...models.networks.denoising_network import padded_to
from .taps import convolve_to_one_channel


class PlainNetwork(nn.Module):
    """A network's convolutions, channels-last, in the precision that each of them bears.

    Input and output: as the network's, float32.

    Args:
        architecture: of the network.
        steps: its layers with their weights.
        device: where it computes.
        precision: of the layers that bear it.
    """

    def __init__(
        self, architecture: Architecture, steps: Sequence[Convolution], device: torch.device, precision: Precision
    ) -> None:
        super().__init__()
        self._smallest = architecture.smallest
        self._adds_input = architecture.adds_input
        self._steps = steps
        self._types = [getattr(torch, one.layer.precision(precision, has_float16=device.type == "cuda").value) for one in steps]
        self._weights = [
            [torch.from_numpy(weight).to(device, kind).contiguous(memory_format=torch.channels_last) for weight in one.weights]
            for one, kind in zip(steps, self._types, strict=True)
        ]
        self._biases = [torch.from_numpy(one.bias).to(device, kind) for one, kind in zip(steps, self._types, strict=True)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.shape[-2:]
        image = padded_to(x, self._smallest).contiguous(memory_format=torch.channels_last)
        result = self._run(image)
        if self._adds_input:
            result = result + image[:, :1]
        return result[..., :rows, :columns]

    def _run(self, image: torch.Tensor) -> torch.Tensor:
        maps = {INPUT: image}
        layers = [one.layer for one in self._steps]
        uses = count_uses(layers)
        for number, layer in enumerate(layers):
            kind = self._types[number]
            sources = [maps[name].to(kind) for name in layer.sources]
            added = None if layer.added is None else maps[layer.added].to(kind)
            maps[layer.result] = self._step(number, sources, added)
            for name in layer.reads:
                uses[name] -= 1
                if uses[name] == 0:
                    del maps[name]
        return maps[layers[-1].result]

    def _step(self, number: int, sources: Sequence[torch.Tensor], added: torch.Tensor | None) -> torch.Tensor:
        one, weights, bias = self._steps[number], self._weights[number], self._biases[number]
        layer = one.layer
        if len(bias) == 1 and layer.dilation == 1:
            result = convolve_to_one_channel(sources, weights, bias, one.padding)
        else:
            result = F.conv2d(sources[0], weights[0], bias, padding=one.padding, dilation=layer.dilation)
            for source, weight in zip(sources[1:], weights[1:], strict=True):
                result += F.conv2d(source, weight, padding=one.padding, dilation=layer.dilation)
        if added is not None:
            result += added
        return result.relu_() if layer.relu else result
