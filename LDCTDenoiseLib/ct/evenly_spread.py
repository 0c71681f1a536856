"""A few of many, such as slices of a scan, spread evenly from the first to the last."""

from __future__ import annotations

import numpy as np


def evenly_spread(count: int, most: int) -> np.ndarray:
    """Indices of at most ``most`` out of ``count`` things, rising: all of them where there are no more.

    Examples:
        >>> evenly_spread(9, 3).tolist()
        [0, 4, 8]
        >>> evenly_spread(2, 3).tolist()
        [0, 1]
    """
    return np.unique(np.linspace(0, count - 1, most).round().astype(int))
