"""Paired bootstrap over slices, grouped by patient: which differences stand out from chance.

Slices of a patient resemble each other, so that patients are drawn first, with replacement, and then slices of each of them.
Efron, Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

REPEATS = 10_000
SHARE = 0.95


@dataclass(frozen=True)
class Interval:
    """Mean over patients of the means over their slices, and the percentile interval of it."""

    mean: float
    low: float
    high: float


def paired_bootstrap(differences: Mapping[str, Sequence[float]], *, repeats: int = REPEATS, seed: int = 1) -> Interval:
    """The mean of paired differences and its interval at ``SHARE``.

    Args:
        differences: of each slice, by patient; patients weigh the same, however many slices they have.
        repeats: how often to draw.
        seed: of the draws.

    Raises:
        ValueError: there is no difference.
    """
    groups = [np.asarray(values, float) for values in differences.values() if len(values)]
    if not groups:
        raise ValueError("there is no difference to draw from")
    rng = np.random.default_rng(seed)
    total = np.zeros(repeats)
    for _ in groups:  # one patient drawn in each turn
        drawn = rng.integers(len(groups), size=repeats)
        for number, values in enumerate(groups):
            times = int((drawn == number).sum())
            total[drawn == number] += values[rng.integers(len(values), size=(times, len(values)))].mean(axis=1)
    tail = 50 * (1 - SHARE)
    low, high = np.percentile(total / len(groups), [tail, 100 - tail])
    return Interval(float(np.mean([values.mean() for values in groups])), float(low), float(high))
