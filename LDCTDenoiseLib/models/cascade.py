"""The cascade as a PyTorch module: networks applied one after the other, each to what the earlier ones left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import nn

from .level import SYSTEMS, Level, Predicts, Sees, levels_to_use
from .networks import DenoisingNetwork, build_network

__all__ = ["SYSTEMS", "Cascade", "Level", "Predicts", "Sees"]


class Cascade(nn.Module):
    """Ordered levels of denoising networks.

    Input and output: (batch, 1, rows, columns), clamped and scaled HU (see ``ct/hu.py``).
    The paper's system C is ``Cascade(SYSTEMS["C"])``: Y1 = net1(X), result = Y1 - net2(Y1).

    References: Ataei et al., arXiv 2006.14738; Wu et al., arXiv 1705.04267.
    """

    def __init__(self, levels: Sequence[Level]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.networks = nn.ModuleList(build_network(level.network) for level in self.levels)

    def use(self, levels: int | None) -> int:
        """How many levels to run: all for None.

        Raises:
            InputError: the cascade has not got that many levels.
        """
        return levels_to_use(self.levels, levels)

    def network(self, index: int) -> DenoisingNetwork:
        """The network of level ``index`` (zero-based)."""
        return cast(DenoisingNetwork, self.networks[index])

    def radius(self, levels: int | None = None) -> int:
        """Receptive-field radius in pixels of the first ``levels`` levels: the halo of an exact tile."""
        return sum(self.network(index).radius for index in range(self.use(levels)))

    def step(self, index: int, original: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """Result of level ``index`` (zero-based) given the original and the previous level's result."""
        result: torch.Tensor = self.levels[index].step(self.networks[index], original, previous, partial(torch.cat, dim=1))
        return result

    def forward(self, x: torch.Tensor, levels: int | None = None) -> torch.Tensor:
        """Denoise (batch, 1, rows, columns) in network units with the first ``levels`` levels; None is all."""
        result = x
        for index in range(self.use(levels)):
            result = self.step(index, x, result)
        return result
