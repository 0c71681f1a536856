"""What a trained network does at inference, step by step, as arrays: for whatever computes it (``inference.backends``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .architectures.architecture import NORM_EPSILON, Architecture, Layer


@dataclass(frozen=True, eq=False)
class Convolution:
    """A layer with its weights, batch norm folded into them: the convolutions of its sources, summed, plus bias.

    A convolution of concatenated maps is the sum of the maps' convolutions: nothing has to be concatenated. A transposed
    convolution is one with the turned kernel.

    Attributes:
        layer: what it sees and what follows it: a map that is added, ReLU.
        weights: for every source (output channels, source channels, size, size), float32.
        bias: (output channels,), float32.
        padding: zeros around the maps, px.
    """

    layer: Layer
    weights: tuple[np.ndarray, ...]
    bias: np.ndarray
    padding: int


def convolutions(architecture: Architecture, tensors: Mapping[str, np.ndarray]) -> list[Convolution]:
    """A network's layers with their weights.

    Args:
        architecture: of the network.
        tensors: as :meth:`Architecture.tensors` names them.
    """
    return [_convolution(architecture, layer, tensors) for layer in architecture.layers]


def _convolution(architecture: Architecture, layer: Layer, tensors: Mapping[str, np.ndarray]) -> Convolution:
    if layer.kernels is not None:
        return Convolution(layer, (layer.kernels,), np.zeros(layer.filters, np.float32), layer.around)
    weight, bias = tensors[f"{layer.name}.weight"], tensors[f"{layer.name}.bias"]
    padding = layer.around
    if layer.transposed:  # padding by all but what was cut
        weight = weight.swapaxes(0, 1)[:, :, ::-1, ::-1]
        padding = layer.dilation * (layer.size - 1) - padding
    if layer.norm:
        mean, variance, scale, shift = (
            tensors[f"{layer.norm}.{part}"].astype(np.float64) for part in ("running_mean", "running_var", "weight", "bias")
        )
        factor = scale / np.sqrt(variance + NORM_EPSILON)
        weight, bias = weight * factor[:, None, None, None], (bias - mean) * factor + shift
    ends = np.cumsum(architecture.source_channels(layer))[:-1]
    parts = tuple(np.ascontiguousarray(part, dtype=np.float32) for part in np.split(weight, ends, axis=1))
    return Convolution(layer, parts, bias.astype(np.float32), padding)
