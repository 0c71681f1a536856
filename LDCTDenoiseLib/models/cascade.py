"""The cascade: networks applied one after the other, each to what the earlier ones left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from ..errors import InputError
from .level import Level, Predicts, Sees
from .networks import DenoisingNetwork, build_network

_DRL_IMAGE = Level("drl", Predicts.IMAGE)
_DRL_DIFFERENCE = Level("drl-difference", Predicts.DIFFERENCE)
_WU_FIRST = Level("cnn10", Predicts.DIFFERENCE)
_WU_LATER = Level("cnn10-wu", Predicts.DIFFERENCE, Sees.PREVIOUS_AND_ORIGINAL)

SYSTEMS: dict[str, tuple[Level, ...]] = {
    "A": (_DRL_DIFFERENCE,),
    "B": (_DRL_IMAGE,),
    "C": (_DRL_IMAGE, _DRL_DIFFERENCE),
    "D": (_DRL_DIFFERENCE, _DRL_DIFFERENCE),
    "3-level": (_DRL_IMAGE, _DRL_DIFFERENCE, _DRL_DIFFERENCE),
    "Wu": (_WU_FIRST, _WU_LATER, _WU_LATER, _WU_LATER, _WU_LATER),
}
"""The systems that the papers compare, by the papers' names (Wu's with its five levels)."""


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
        count = len(self.levels) if levels is None else levels
        if not 1 <= count <= len(self.levels):
            raise InputError(f"This model has {len(self.levels)} level(s); {count} cannot be used.")
        return count

    def network(self, index: int) -> DenoisingNetwork:
        """The network of level ``index`` (zero-based)."""
        return cast(DenoisingNetwork, self.networks[index])

    def radius(self, levels: int | None = None) -> int:
        """Receptive-field radius in pixels of the first ``levels`` levels: the halo of an exact tile."""
        return sum(self.network(index).radius for index in range(self.use(levels)))

    def step(self, index: int, original: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """Result of level ``index`` (zero-based) given the original and the previous level's result."""
        level = self.levels[index]
        seen = previous if level.sees is Sees.PREVIOUS else torch.cat([original, previous], dim=1)
        prediction = self.networks[index](seen)
        return prediction if level.predicts is Predicts.IMAGE else previous - prediction

    def forward(self, x: torch.Tensor, levels: int | None = None) -> torch.Tensor:
        """Denoise (batch, 1, rows, columns) in network units with the first ``levels`` levels; None is all."""
        result = x
        for index in range(self.use(levels)):
            result = self.step(index, x, result)
        return result
