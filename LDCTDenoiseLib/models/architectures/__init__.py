"""The networks that a cascade may consist of, as data, by the names that model files record."""

from __future__ import annotations

from .architecture import Architecture
from .cnn10 import cnn10
from .drl import drl, drl_edge
from .redcnn import redcnn
from .wgan_vgg import wgan_vgg

NETWORKS: dict[str, Architecture] = {
    "drl": drl(),
    "drl-difference": drl(add_input=False),
    "drl-edge": drl_edge(),
    "cnn10": cnn10(),
    "cnn10-wu": cnn10(input_channels=2),
    "redcnn": redcnn(),
    "wgan-vgg": wgan_vgg(),
}


def find_architecture(name: str) -> Architecture:
    """A network by its recorded name.

    Raises:
        ValueError: no network has this name.
    """
    if name not in NETWORKS:
        raise ValueError(f"There is no network named '{name}'; choose one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]
