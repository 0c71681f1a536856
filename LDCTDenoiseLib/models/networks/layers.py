"""Building blocks that the networks share."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import nn

ModuleType = TypeVar("ModuleType", bound=nn.Module)


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
