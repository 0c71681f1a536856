"""A network by cuDNN's fused calls, which PyTorch brings for CUDA: convolution, bias, sum and ReLU in one pass over memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch.nn import functional as F

from ...models.architectures.architecture import Precision
from .plain import PlainNetwork


class CuDNNNetwork(PlainNetwork):
    """As :class:`PlainNetwork`, on a CUDA device for which :func:`is_usable`."""

    def _step(self, number: int, sources: Sequence[torch.Tensor], added: torch.Tensor | None) -> torch.Tensor:
        one, weights, bias = self._steps[number], self._weights[number], self._biases[number]
        if len(bias) == 1 or not one.layer.relu:
            return super()._step(number, sources, added)
        for source, weight in zip(sources[1:], weights[1:], strict=True):
            part = F.conv2d(source, weight, padding=one.padding, dilation=one.layer.dilation)
            added = part if added is None else part.add_(added)
        geometry = [1, 1], [one.padding] * 2, [one.layer.dilation] * 2, 1  # stride, padding, dilation, groups
        if added is None:
            return torch.cudnn_convolution_relu(sources[0], weights[0], bias, *geometry)
        return torch.cudnn_convolution_add_relu(sources[0], weights[0], added, 1.0, bias, *geometry)


@lru_cache
def is_usable(device: torch.device, precision: Precision) -> bool:
    """Whether this GPU, with its cuDNN, has the fused calls, and they do what they should."""
    geometry, kind = ([1, 1], [2, 2], [2, 2], 1), getattr(torch, precision.value)
    try:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            source = torch.linspace(-1, 1, 64 * 256).view(1, 16, 16, 64).permute(0, 3, 1, 2).to(device, kind)
            weight = torch.linspace(-1, 1, 64 * 64 * 9).view(64, 64, 3, 3).to(device, kind)
            weight = weight.contiguous(memory_format=torch.channels_last)
            bias = torch.ones(64, device=device, dtype=kind)
            expected = F.relu(F.conv2d(source, weight, bias, padding=2, dilation=2))
            fused = torch.cudnn_convolution_relu(source, weight, bias, *geometry)
            # With the result itself as what is added, the ReLU cuts nothing more, and where it cut nothing the sum is twice it.
            summed = torch.cudnn_convolution_add_relu(source, weight, expected, 1.0, bias, *geometry)
            error = torch.maximum((fused - expected).abs(), (summed - 2 * expected).abs() * (expected > 0))
            return bool(error.max() < 0.02 * expected.max())
    except (AttributeError, RuntimeError):  # calls that are not documented, and that not every cuDNN supports
        return False
