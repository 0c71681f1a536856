"""A level of a cascade, as data: which network, what it predicts, what it sees. Free of torch, so that anyone can read it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum


class Predicts(str, Enum):
    """What a level's network gives."""

    IMAGE = "image"  # the normal-dose image: the result is the prediction
    DIFFERENCE = "difference"  # previous result minus normal dose: the result is the previous one minus the prediction


class Sees(str, Enum):
    """What a level's network is shown."""

    PREVIOUS = "previous"  # the previous level's result, one channel
    PREVIOUS_AND_ORIGINAL = "previous and original"  # channels: original, previous result (Wu's order)


@dataclass(frozen=True)
class Level:
    """One level of a cascade: which network (a name in ``models.networks.NETWORKS``), what it predicts and sees."""

    network: str
    predicts: Predicts
    sees: Sees = Sees.PREVIOUS

    @classmethod
    def from_metadata(cls, record: dict[str, str]) -> Level:
        """A level from what a model file keeps of it."""
        return cls(record["network"], Predicts(record["predicts"]), Sees(record["sees"]))

    def as_metadata(self) -> dict[str, str]:
        """What a model file keeps of the level."""
        return {key: getattr(value, "value", value) for key, value in asdict(self).items()}
