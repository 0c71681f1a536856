"""What every network of a cascade offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn


class DenoisingNetwork(nn.Module, ABC):
    """Fully convolutional network from (batch, channels, rows, columns) to (batch, 1, rows, columns), network units.

    Attributes:
        radius: of the receptive field, px: the halo that an exact tile needs.
    """

    radius: int

    @property
    @abstractmethod
    def first_layer(self) -> nn.Conv2d:
        """The convolution that sees the image."""

    @property
    @abstractmethod
    def last_layer(self) -> nn.Conv2d:
        """The convolution that gives the prediction."""

    @abstractmethod
    def convolution_norm_pairs(self) -> list[tuple[str, str]]:
        """Names of each convolution and of the batch norm that follows it."""
