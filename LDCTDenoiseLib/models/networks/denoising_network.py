"""What every network of a cascade offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn
from torch.nn import functional as F

from .convolution import Convolution


class DenoisingNetwork(nn.Module, ABC):
    """Fully convolutional network from (batch, channels, rows, columns) to (batch, 1, rows, columns), network units.

    Attributes:
        radius: of the receptive field, px: the halo that an exact tile needs.
        smallest: side in px below which an image is padded with zeros, because convolutions cut its borders.
        adds_input: whether the first channel of the input is added to what the last step makes.
    """

    radius: int
    smallest: int = 1
    adds_input: bool = False

    @property
    @abstractmethod
    def first_layer(self) -> nn.Conv2d:
        """The convolution that sees the image."""

    @property
    @abstractmethod
    def last_layer(self) -> nn.Conv2d | nn.ConvTranspose2d:
        """The layer that gives the prediction."""

    @abstractmethod
    def convolutions(self) -> list[Convolution]:
        """What :meth:`forward` does at inference, batch norm folded; the last step makes the prediction."""


def padded_to(x: torch.Tensor, side: int) -> torch.Tensor:
    """Images with zeros below and to the right, where their sides are shorter than ``side``."""
    rows, columns = x.shape[-2:]
    if min(rows, columns) >= side:
        return x
    return F.pad(x, (0, max(0, side - columns), 0, max(0, side - rows)))
