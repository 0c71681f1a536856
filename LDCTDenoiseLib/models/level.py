"""Levels of a cascade, as data: which network, what it predicts, what it sees. Free of torch, so that anyone can read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from ..errors import InputError, counted
from .architectures import NETWORKS, Architecture, find_architecture


class Predicts(StrEnum):
    """What a level's network gives."""

    IMAGE = "image"  # the normal-dose image: the result is the prediction
    DIFFERENCE = "difference"  # previous result minus normal dose: the result is the previous one minus the prediction


class Sees(StrEnum):
    """What a level's network is shown."""

    PREVIOUS = "previous"  # the previous level's result, one channel
    PREVIOUS_AND_ORIGINAL = "previous and original"  # channels: original, previous result (Wu's order)

    @property
    def channels(self) -> int:
        """How many it is shown."""
        return 1 if self is Sees.PREVIOUS else 2


@dataclass(frozen=True)
class Level:
    """One level of a cascade: which network (a name in ``models.architectures.NETWORKS``), what it predicts and sees.

    Raises:
        ValueError: the network's name is no text, or the network takes another number of channels than it is shown.
    """

    network: str
    predicts: Predicts
    sees: Sees = Sees.PREVIOUS

    def __post_init__(self) -> None:
        if not isinstance(self.network, str):
            raise ValueError(f"the network {self.network!r} is no name")
        known = NETWORKS.get(self.network)
        if known is not None and known.input_channels != self.sees.channels:
            raise ValueError(f"the network {self.network} cannot see {self.sees.value}")

    @classmethod
    def from_metadata(cls, record: dict[str, str]) -> Level:
        """A level from what a model file keeps of it."""
        return cls(record["network"], Predicts(record["predicts"]), Sees(record["sees"]))

    def as_metadata(self) -> dict[str, str]:
        """What a model file keeps of the level."""
        return {key: getattr(value, "value", value) for key, value in asdict(self).items()}

    @property
    def architecture(self) -> Architecture:
        """Of its network.

        Raises:
            ValueError: there is no such network.
        """
        return find_architecture(self.network)

    def step(self, network: Callable[[Any], Any], original: Any, previous: Any, join: Callable[[list[Any]], Any]) -> Any:
        """The level's result.

        Args:
            network: the level's, of arrays or tensors (batch, channels, rows, columns).
            original: what the cascade was given, (batch, 1, rows, columns).
            previous: the previous level's result; of the first level the original.
            join: concatenates such arrays along their channels.
        """
        prediction = network(previous if self.sees is Sees.PREVIOUS else join([original, previous]))
        return prediction if self.predicts is Predicts.IMAGE else previous - prediction


def levels_to_use(levels: Sequence[Level], count: int | None) -> int:
    """How many levels to run: all for None.

    Raises:
        InputError: the cascade has not got that many levels.
    """
    used = len(levels) if count is None else count
    if not 1 <= used <= len(levels):
        raise InputError(f"This model has {counted(len(levels), 'level')}; {used} cannot be used.")
    return used


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
