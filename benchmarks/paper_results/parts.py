"""The parts that the systems are trained in: a part is one network on its share of a system's budget.

Every system has the same budget. Its first network gets 60 % of it, with a rate that falls to zero; the remaining 40 % go, with
the rate started anew, into the same network where the system has only one, and else evenly into its later levels. So the first
part is the same training for all systems that begin alike: it is done once, and counts in each of them. WGAN-VGG is trained in
one part, since its critic would be lost between two.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST, REST = 0.6, 0.4
"""Shares of a system's first network and of what comes after."""


@dataclass(frozen=True)
class Part:
    """One stretch of training, exported as one file of weights.

    Attributes:
        name: of the part and its file.
        config: configuration whose level is trained (``training/configs``).
        share: of a system's budget.
        before: parts that are the earlier levels; their number is the level's.
        goes_on: part whose network this one goes on with; None begins with random weights.
        scaled: the weight of L_P is put on the scale of the MSE (``perceptual_weight.py``).
    """

    name: str
    config: str
    share: float
    before: tuple[str, ...] = ()
    goes_on: str | None = None
    scaled: bool = False

    @property
    def index(self) -> int:
        """Zero-based level of the configuration."""
        return len(self.before)

    @property
    def needs(self) -> tuple[str, ...]:
        """Parts that must be finished before this one begins: the cascade that it starts from."""
        return self.before if self.goes_on is None else (*self.before, self.goes_on)

    @property
    def seed(self) -> int:
        """Of weights, patches and noise: parts of a system must not see the same patches again."""
        return 1 + len(self.needs)


def _alone(name: str, config: str, *, scaled: bool = False) -> tuple[Part, Part]:
    """A network that has the whole budget."""
    first = Part(f"{name}-1", config, FIRST, scaled=scaled)
    return first, Part(f"{name}-2", config, REST, goes_on=first.name, scaled=scaled)


def _later(name: str, config: str, first: str, count: int) -> tuple[Part, ...]:
    """The later levels of a cascade."""
    parts: list[Part] = []
    for number in range(2, 2 + count):
        parts.append(Part(f"{name}-{number}", config, REST / count, before=(first, *(part.name for part in parts))))
    return tuple(parts)


PARTS = {
    part.name: part
    for part in (
        *_alone("a", "paper-a"),
        *_alone("b", "paper-b"),
        *_later("c", "paper-c", "b-1", 1),
        *_later("d", "paper-d", "a-1", 1),
        *_alone("cnn10", "paper-cnn10"),
        *_later("3level", "paper-3level", "b-1", 2),
        *_later("wu", "wu-cascade", "cnn10-1", 4),
        *_alone("drl-edge", "drl-edge"),
        Part("wgan-vgg", "wgan-vgg", FIRST + REST),
        *_alone("redcnn", "redcnn"),
        *_alone("b-scaled", "paper-b", scaled=True),
        *_later("c-scaled", "paper-c", "b-scaled-1", 1),
        *_alone("b-lp", "paper-b-lp"),
        *_later("c-lp", "paper-c-lp", "b-lp-1", 1),
    )
}
"""By name, in the order in which they are trained: those that decide most claims come first."""
