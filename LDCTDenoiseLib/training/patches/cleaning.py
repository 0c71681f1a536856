"""A scan's own noise as a model finds it: the targets of the training are freed of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...inference.engine import Denoiser
from .array_cache import cached_arrays, entry_name
from .stored_array import StoredArray


class TargetCleaner:
    """Finds the noise that normal-dose scans have of their own.

    A network that always finds it beneath the inserted noise learns to leave that much of any noise.

    Args:
        denoiser: its blend is the share of the noise to find.
        cache: folder for the arrays.
    """

    def __init__(self, denoiser: Denoiser, cache: Path) -> None:
        self.denoiser = denoiser
        self.cache = cache

    def own_noise(self, hu: np.ndarray) -> StoredArray:
        """(slices, rows, columns) int16 HU to the same: what to take from it for a target."""
        name = entry_name(hu, [hu.shape, self.denoiser.info.model_hash, self.denoiser.blend])
        return cached_arrays(self.cache / name, lambda: {"own_noise": hu - self.denoiser(hu)})["own_noise"]
