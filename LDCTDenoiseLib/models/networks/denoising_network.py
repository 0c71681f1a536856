"""A network as a PyTorch module, for training and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from ..architectures.architecture import INPUT, NORM_EPSILON, Architecture, Layer, Precision, count_uses
from .layers import in_float32, without_autocast


class DenoisingNetwork(nn.Module):
    """Fully convolutional network from (batch, channels, rows, columns) to (batch, 1, rows, columns), network units.

    Any size of image; the same size comes out.

    Args:
        architecture: what it is.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        modules: dict[str, nn.Module] = {
            layer.name: _convolution(architecture, layer) for layer in architecture.layers if layer.kernels is None
        }
        modules |= {layer.norm: _batch_norm(layer.filters) for layer in architecture.layers if layer.norm}
        for name in _in_order(list(modules)):
            _place(self, name, modules[name])
        for layer in architecture.layers:
            if layer.kernels is not None:
                # Not saved: the kernels are part of the definition, not of what was learnt.
                self.register_buffer(f"{layer.result}_kernels", torch.from_numpy(layer.kernels.copy()), persistent=False)

    @property
    def radius(self) -> int:
        """Of the receptive field, px: the halo that an exact tile needs."""
        return self.architecture.radius

    @property
    def first_layer(self) -> nn.Conv2d:
        """The learnt convolution that sees the image."""
        return cast(nn.Conv2d, self.get_submodule(next(one.name for one in self.architecture.layers if one.name)))

    @property
    def last_layer(self) -> nn.Conv2d | nn.ConvTranspose2d:
        """The layer that gives the prediction."""
        return cast(nn.Conv2d, self.get_submodule(self.architecture.layers[-1].name))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.shape[-2:]
        pads = self.architecture.smallest > 1
        image = padded_to(x, self.architecture.smallest) if pads else x
        maps = {INPUT: image}
        uses = count_uses(self.architecture.layers)
        for layer in self.architecture.layers:
            result = self._convolve(layer, [maps[name] for name in layer.sources])
            if layer.norm:
                result = self.get_submodule(layer.norm)(result)
            if layer.added is not None:
                result = result + maps[layer.added]
            maps[layer.result] = F.relu(result) if layer.relu else result
            for name in layer.reads:
                uses[name] -= 1
                if uses[name] == 0:
                    del maps[name]
        result = maps[self.architecture.layers[-1].result]
        if self.architecture.adds_input:
            result = result + image[:, :1]
        return result[..., :rows, :columns] if pads else result

    def _convolve(self, layer: Layer, sources: list[torch.Tensor]) -> torch.Tensor:
        seen = torch.cat(sources, dim=1) if len(sources) > 1 else sources[0]
        if layer.kernels is not None:
            with without_autocast(seen.device):
                return F.conv2d(seen, self.get_buffer(f"{layer.result}_kernels"), padding=layer.around, dilation=layer.dilation)
        convolution = cast(nn.Conv2d, self.get_submodule(layer.name))
        return in_float32(convolution, seen) if layer.coarsest is Precision.FLOAT32 else convolution(seen)


def padded_to(x: torch.Tensor, side: int) -> torch.Tensor:
    """Images with zeros below and to the right, where their sides are shorter than ``side``."""
    rows, columns = x.shape[-2:]
    if min(rows, columns) >= side:
        return x
    return F.pad(x, (0, max(0, side - columns), 0, max(0, side - rows)))


def _convolution(architecture: Architecture, layer: Layer) -> nn.Conv2d | nn.ConvTranspose2d:
    kind = nn.ConvTranspose2d if layer.transposed else nn.Conv2d
    channels = sum(architecture.source_channels(layer))
    return kind(channels, layer.filters, layer.size, padding=layer.around, dilation=layer.dilation)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with Keras' constants (momentum 0.99 there is 0.01 here)."""
    return nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=0.01)


def _in_order(names: Sequence[str]) -> list[str]:
    """Names in the order in which modules are registered, which optimizers' checkpoints follow: numbered ones side by side."""
    groups = [name.partition(".")[0] for name in names]
    return sorted(names, key=lambda name: (groups.index(name.partition(".")[0]), int(name.partition(".")[2] or 0)))


def _place(parent: nn.Module, name: str, module: nn.Module) -> None:
    """Register a module under a name such as ``c1`` or ``encoder.0``."""
    group, _, number = name.partition(".")
    if not number:
        parent.add_module(group, module)
        return
    if group not in dict(parent.named_children()):
        parent.add_module(group, nn.Module())
    parent.get_submodule(group).add_module(number, module)
