"""The generator of WGAN-VGG."""

from __future__ import annotations

from .architecture import INPUT, Architecture, Layer, Precision


def wgan_vgg() -> Architecture:
    """Generator of WGAN-VGG: eight 3x3 convolutions with 32 filters, ReLU between them, no shortcut; receptive field 17 px.

    56,097 parameters. Published with a ReLU at the end too, which is left out: it would die of the zero that trainings start
    from, and results below -1024 HU are no use for it.

    Reference: Yang et al., IEEE Trans Med Imaging 2018;37:1348.
    """
    names = [INPUT, *(f"y{number}" for number in range(1, 9))]
    # Without a shortcut every layer carries the absolute HU, which bears no coarser type.
    return Architecture(
        tuple(
            Layer(
                names[number + 1],
                (names[number],),
                f"layers.{number}",
                1 if number == 7 else 32,
                3,
                relu=number < 7,
                coarsest=Precision.FLOAT32,
            )
            for number in range(8)
        )
    )
