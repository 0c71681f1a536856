"""The ten-layer convolutional network that the cascade papers start from."""

from __future__ import annotations

from .architecture import INPUT, Architecture, Layer, Precision


def cnn10(*, input_channels: int = 1) -> Architecture:
    """Plain 3x3 network of eleven convolutions: one in, nine with batch norm, one out; receptive field 23 px.

    335,873 parameters with one input channel, 336,449 with two (batch-norm statistics included).
    With two input channels, original and previous result, it is the difference network of Wu's cascade.

    References: Ataei et al., arXiv 2006.14738 (CNN10); Wu et al., arXiv 1705.04267 (cascade).
    """
    middle = (
        Layer(
            f"y{number}",
            (f"y{number - 1}",),
            f"middle.{3 * number - 3}",
            64,
            3,
            norm=f"middle.{3 * number - 2}",
            # The layer that sees y0, which carries the absolute HU, bears no bfloat16.
            coarsest=Precision.FLOAT16 if number == 1 else Precision.BFLOAT16,
        )
        for number in range(1, 10)
    )
    first = Layer("y0", (INPUT,), "first", 64, 3, coarsest=Precision.FLOAT32)
    last = Layer("y10", ("y9",), "last", 1, 3, relu=False, coarsest=Precision.FLOAT32)
    return Architecture((first, *middle, last), input_channels)
