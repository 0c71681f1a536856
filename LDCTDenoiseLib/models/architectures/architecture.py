"""A network as data: its layers, what each sees, and the shapes of its tensors. Free of torch.

The PyTorch module (``models.networks``) and the steps that the backends compute (``models.convolution``) are both made from it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

INPUT = "input"
"""Name of the feature map that a network is given."""
NORM_EPSILON = 1e-3
"""Keras' constant, which the papers used."""


class Precision(StrEnum):
    """Type that a layer computes in."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True)
class Layer:
    """A convolution of concatenated feature maps, then batch norm, plus another feature map, then ReLU.

    Attributes:
        result: name of the feature map that it makes.
        sources: names of the maps that it sees, concatenated in this order.
        name: of the convolution in the model file's tensors; "" for one that is not learnt.
        filters: channels of the result.
        size: side of the kernel in taps, odd.
        dilation: distance of the kernel's taps, px.
        padding: zeros around the maps, px, or, of a transposed convolution, px that are cut; None keeps the size.
        transposed: whether it is a transposed convolution.
        norm: name of the batch norm in the model file's tensors; "" for none.
        added: name of a map that is added before the ReLU.
        relu: cut negative results.
        coarsest: the least precise type whose error does not show in the result (docs/performance.md has the figures).
        kernels: (filters, source channels, size, size) of a convolution that is not learnt and has no bias.
    """

    result: str
    sources: tuple[str, ...]
    name: str
    filters: int
    size: int
    dilation: int = 1
    padding: int | None = None
    transposed: bool = False
    norm: str = ""
    added: str | None = None
    relu: bool = True
    coarsest: Precision = Precision.BFLOAT16
    kernels: np.ndarray | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all the feature maps that it needs."""
        return self.sources if self.added is None else (*self.sources, self.added)

    @property
    def around(self) -> int:
        """``padding`` as a number."""
        return self.dilation * (self.size // 2) if self.padding is None else self.padding

    def precision(self, asked: Precision, *, has_float16: bool) -> Precision:
        """The type to compute in when ``asked`` is wanted: ``asked``, unless the layer needs more precision.

        Args:
            asked: by the user.
            has_float16: whether the device computes in float16.
        """
        if Precision.FLOAT32 in (asked, self.coarsest):
            return Precision.FLOAT32
        if asked is Precision.BFLOAT16 and self.coarsest is Precision.FLOAT16:
            return Precision.FLOAT16 if has_float16 else Precision.FLOAT32
        return asked


@dataclass(frozen=True)
class Tensor:
    """What a tensor of a model file must be: its type ("F32" or "I64", as safetensors says) and shape."""

    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Architecture:
    """A fully convolutional network from (batch, input_channels, rows, columns) to (batch, 1, rows, columns), network units.

    Attributes:
        layers: in the order in which they are computed; the last one makes the prediction.
        input_channels: the first one is the image.
        adds_input: whether the image is added to the prediction.
        smallest: side in px below which an image is padded with zeros, because convolutions cut its borders.
    """

    layers: tuple[Layer, ...]
    input_channels: int = 1
    adds_input: bool = False
    smallest: int = 1

    def source_channels(self, layer: Layer) -> tuple[int, ...]:
        """Channels of each map that a layer sees."""
        channels = {INPUT: self.input_channels, **{one.result: one.filters for one in self.layers}}
        return tuple(channels[name] for name in layer.sources)

    @property
    def radius(self) -> int:
        """Radius of the receptive field, px: the halo that an exact tile needs."""
        reach = {INPUT: 0}
        for layer in self.layers:
            seen = max(reach[name] for name in layer.sources) + layer.dilation * (layer.size // 2)
            reach[layer.result] = max(seen, reach[layer.added or INPUT])
        return reach[self.layers[-1].result]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that the network has learnt, by name."""
        found: dict[str, Tensor] = {}
        for layer in self.layers:
            if layer.kernels is None:
                sides = (layer.size, layer.size)
                seen, made = sum(self.source_channels(layer)), layer.filters
                found[f"{layer.name}.weight"] = Tensor("F32", (seen, made, *sides) if layer.transposed else (made, seen, *sides))
                found[f"{layer.name}.bias"] = Tensor("F32", (made,))
            if layer.norm:
                for part in ("weight", "bias", "running_mean", "running_var"):
                    found[f"{layer.norm}.{part}"] = Tensor("F32", (layer.filters,))
                found[f"{layer.norm}.num_batches_tracked"] = Tensor("I64", ())
        return found

    @property
    def parameters(self) -> int:
        """How many, as Keras and the papers count them: with batch norm's running means and variances."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors().values() if tensor.kind == "F32")


def count_uses(layers: Sequence[Layer]) -> Counter[str]:
    """How often each feature map is read: after the last time its memory is free."""
    return Counter(name for layer in layers for name in layer.reads)
