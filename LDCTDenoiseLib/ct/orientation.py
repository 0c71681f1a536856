"""Which axis of a volume runs through its axial slices."""

from __future__ import annotations

import numpy as np


def axial_axis(direction: np.ndarray) -> int:
    """Array axis (slowest first) that runs most nearly along the patient's superior-inferior direction.

    Args:
        direction: (3, 3) matrix whose columns are the directions of the index axes (fastest first) in patient space;
            row 2 holds their superior components, in LPS as in RAS.
    """
    return 2 - int(np.argmax(np.abs(direction[2])))
