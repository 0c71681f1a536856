"""What is judged: the input as it is, a model, or a classical filter, all called in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import counted
from ..inference.engine import Denoiser

Apply = Callable[[np.ndarray, float], np.ndarray]
"""Low dose (slices, rows, columns) in HU and its noise SD in HU to the denoised volume of the same shape."""


@dataclass(frozen=True)
class Method:
    """A way to denoise.

    Attributes:
        name: as it stands in tables.
        apply: does it.
        note: what a reader must know to repeat it: the model's hash, or the filter's parameters and how they were found.
    """

    name: str
    apply: Apply
    note: str = ""


INPUT = Method("input", lambda low, noise_hu: low, "the low dose as it is")


def model_method(denoiser: Denoiser, name: str | None = None) -> Method:
    """A loaded model, which needs no noise level.

    Args:
        denoiser: with its blend and levels.
        name: None is the model's own.
    """
    info = denoiser.info
    note = f"{counted(denoiser.levels, 'level')}, blend {denoiser.blend:g}, sha256 {info.model_hash[:16]}"
    return Method(name or info.name, lambda low, noise_hu: denoiser(low), note)
