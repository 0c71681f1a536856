"""The residual encoder-decoder network (RED-CNN), which other methods are compared with."""

from __future__ import annotations

from .architecture import INPUT, Architecture, Layer, Precision

_ADDED = {"d1": "e4", "d3": "e2", "d5": INPUT}
_COARSEST = {"e1": Precision.FLOAT32, "e2": Precision.FLOAT16, "d5": Precision.FLOAT32}
"""What carries the absolute HU, as in DRL."""


def redcnn() -> Architecture:
    """Residual encoder-decoder: five convolutions that cut the borders, five transposed ones that give them back.

    All 5x5 with 96 channels, ReLU after each, shortcuts from the input and from the second and fourth convolution;
    receptive field 41 px; 1,848,865 parameters, no batch norm. Sides below 21 px are padded with zeros.

    Reference: Chen et al., IEEE Trans. Med. Imaging 36(12), 2017, arXiv 1702.00288.
    """
    names = [(half, number) for half in ("encoder", "decoder") for number in range(5)]
    layers, before = [], INPUT
    for half, number in names:
        result = f"{half[0]}{number + 1}"
        layers.append(
            Layer(
                result,
                (before,),
                f"{half}.{number}",
                1 if (half, number) == names[-1] else 96,
                5,
                padding=0,
                transposed=half == "decoder",
                added=_ADDED.get(result),
                coarsest=_COARSEST.get(result, Precision.BFLOAT16),
            )
        )
        before = result
    return Architecture(tuple(layers), smallest=21)
