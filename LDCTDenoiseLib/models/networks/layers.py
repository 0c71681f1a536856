"""Building blocks that the networks share."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import nn

ModuleType = TypeVar("ModuleType", bound=nn.Module)


def same_convolution(input_channels: int, output_channels: int, size: int, dilation: int = 1) -> nn.Conv2d:
    """Convolution with bias and zero ("same") padding."""
    padding = dilation * (size // 2)
    return nn.Conv2d(input_channels, output_channels, size, padding=padding, dilation=dilation)


def keras_batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with Keras' constants (eps 1e-3, momentum 0.99 there is 0.01 here), which the papers used."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def channels_last(module: ModuleType) -> ModuleType:
    """The module with its weights laid out for channels-last convolution, which is faster on CPU and CUDA."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def in_float32(layer: nn.Conv2d | nn.ConvTranspose2d, x: torch.Tensor) -> torch.Tensor:
    """Apply a layer in float32 even under autocast.

    For the layers that touch HU directly: bfloat16 would round soft tissue (about 0.25 in network units) to steps of 8 HU.
    """
    with without_autocast(x.device):
        return layer(x.to(layer.weight.dtype))


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Context in which autocast is off; MPS has had none in most torch versions that are supported."""
    return nullcontext() if device.type == "mps" else torch.autocast(device.type, enabled=False)
