"""A scan in low and normal dose, which a method is judged on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import InputError
from ..measures.image_quality import rmse
from ..measures.noise_left import body_of_tiles
from ..measures.noise_level import WINDOW_MM, noise_sd, uniform_windows
from ..measures.nps import tissue_windows


@dataclass(frozen=True)
class DosePair:
    """A patient's slices in both doses.

    Attributes:
        patient: its name in tables.
        volume: which of the patient's, by its normal dose: its name in tables.
        low, full: (slices, rows, columns), HU.
        spacing: (rows, columns) in mm.
        slices: each slice's index in the volume that it was taken from.
    """

    patient: str
    volume: str
    low: np.ndarray
    full: np.ndarray
    spacing: tuple[float, float]
    slices: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.low.shape != self.full.shape:
            raise InputError(
                f"The pair of {self.patient} differs in size, {self.low.shape} and {self.full.shape}: "
                "give volumes of the same slices on the same grid."
            )

    @cached_property
    def noise_hu(self) -> float:
        """Noise SD of the low dose in uniform soft tissue (found in the normal dose), or all over where there is none."""
        try:
            windows = uniform_windows(self.full, self.spacing)
        except InputError:
            return rmse(self.low, self.full)
        return noise_sd(self.low, windows, self.spacing)

    @cached_property
    def own_noise_share(self) -> float:
        """Variance of the normal dose's own noise as a share of the inserted noise's, in uniform soft tissue; NaN without any."""
        windows = tissue_windows(self.full, self.spacing, WINDOW_MM)
        if windows is None:
            return math.nan
        own, inserted = (noise_sd(image, windows, self.spacing) for image in (self.full, self.low - self.full))
        return (own / inserted) ** 2

    @cached_property
    def body(self) -> np.ndarray:
        """Where noise left is told: the same for every method."""
        return body_of_tiles(self.full)
