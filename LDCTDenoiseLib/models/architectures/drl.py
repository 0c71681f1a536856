"""The dilated residual network (DRL), and its variant with an edge-detection layer in front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .architecture import INPUT, Architecture, Layer, Precision


def drl(*, add_input: bool = True, input_channels: int = 1) -> Architecture:
    """Dilated residual network: low-dose CT slice to normal-dose CT slice.

    Seven convolutions with dilations 1-2-3-4-3-2-1 and two concatenated shortcuts; receptive field 35 px.
    225,601 parameters, batch-norm statistics included.

    Args:
        add_input: add the network's input to its output, so that it gives an image. False is the difference form
            for later levels, with the same number of parameters: it gives a difference directly.
        input_channels: channels of the first convolution; with ``add_input`` the first channel is the image.

    References: Ataei, Alirezaie, Babyn, arXiv 2006.14738, Fig. 1; Gholizadeh-Ansari et al., arXiv 1902.10127.
    """
    layers = (
        Layer("y1", (INPUT,), "c1", 64, 5, coarsest=Precision.FLOAT32),
        # y1 carries the absolute HU: rounded to bfloat16 it makes nine tenths of the whole network's error.
        Layer("y2", ("y1",), "c2", 64, 3, dilation=2, norm="bn2", coarsest=Precision.FLOAT16),
        Layer("y3", ("y2",), "c3", 64, 3, dilation=3, norm="bn3"),
        Layer("y4", ("y3",), "c4", 64, 3, dilation=4, norm="bn4"),
        Layer("y5", ("y4",), "c5", 64, 3, dilation=3, norm="bn5"),
        Layer("y6", ("y5", "y2"), "c6", 64, 3, dilation=2, norm="bn6"),
        Layer("y7", ("y6", "y1"), "c7", 1, 3, relu=False, coarsest=Precision.FLOAT32),
    )
    return Architecture(layers, input_channels, adds_input=add_input)


def drl_edge() -> Architecture:
    """DRL with a fixed edge-detection layer in front ("DRL+E").

    Four Sobel kernels (horizontal, vertical, two diagonals), not trained, give four edge images that are concatenated
    with the slice: five input channels, 232,001 parameters (the fixed kernels not counted), receptive field 37 px.

    Reference: Gholizadeh-Ansari, Alirezaie, Babyn, arXiv 1902.10127, section 3.2.
    """
    horizontal = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], np.float32)
    diagonal = np.array([[0, 1, 2], [-1, 0, 1], [-2, -1, 0]], np.float32)
    kernels = np.stack([horizontal, horizontal.T, diagonal, diagonal[:, ::-1]])[:, None]
    edges = Layer("edges", (INPUT,), "", 4, 3, relu=False, coarsest=Precision.FLOAT32, kernels=kernels)
    plain = drl()
    first, *others = plain.layers
    return replace(plain, layers=(edges, replace(first, sources=(INPUT, "edges")), *others))
