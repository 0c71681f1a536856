"""What a model does on the slices that were held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ct.evenly_spread import evenly_spread
from ..ct.scan import Scan
from ..evaluation.dose_pair import DosePair
from ..evaluation.local_response import NOISE_LEFT_P90, local_response, signal_kept_name
from ..evaluation.methods import model_method
from ..inference.engine import Denoiser
from ..measures.image_quality import ABDOMEN, psnr_of_arrays
from ..measures.signal_kept import SMALL_FAINT
from ..measures.tissue_bias import tissue_masks
from ..simulation.kernel import ReconstructionKernel
from ..simulation.noise_insertion import simulate_low_dose

DOSE_FRACTION = 0.25
MOST_SLICES = 4
"""That a scan is judged by: each is denoised a few times."""


@dataclass(frozen=True)
class Score:
    """Means over the scans.

    Attributes:
        gain_db: of PSNR by denoising, at C50/W400.
        noise_left: 90th percentile of places.
        signal_kept: of a 20 HU disc of 4 mm radius.
    """

    gain_db: float
    noise_left: float
    signal_kept: float

    @property
    def contrast_to_noise(self) -> float:
        """Of a small lesion, as a share of what it is in the low dose."""
        return self.signal_kept / self.noise_left

    def better_than(self, other: Score) -> bool:
        """Whether the gain is higher, and not bought with small lesions: none stands out less from the noise."""
        return self.gain_db > other.gain_db and not self.contrast_to_noise < other.contrast_to_noise


def low_dose_pair(name: str, held_back: Scan, kernel: ReconstructionKernel, seed: int) -> DosePair:
    """Held-back slices at normal dose and with the noise of a quarter of it.

    Raises:
        InputError: the noise of these slices cannot be measured.
    """
    chosen = evenly_spread(len(held_back.hu), MOST_SLICES)
    full = np.ascontiguousarray(held_back.hu[chosen])
    low = simulate_low_dose(full, held_back.spacing, DOSE_FRACTION, kernel=kernel, seed=seed)
    return DosePair(name, name, low, full, held_back.spacing, tuple(chosen.tolist()))


def score(denoiser: Denoiser, pairs: Sequence[DosePair]) -> Score:
    """Judge a model by the pairs; what a scan does not show, such as soft tissue for lesions, does not count there."""
    method = model_method(denoiser)
    gains, left, kept = [], [], []
    for pair in pairs:
        image = method.apply(pair.low, pair.noise_hu)
        gains.append(psnr_of_arrays(image, pair.full, ABDOMEN) - psnr_of_arrays(pair.low, pair.full, ABDOMEN))
        response = local_response(method, pair, image, tissue_masks(pair.full), [SMALL_FAINT])
        left.append(response[NOISE_LEFT_P90])
        kept.append(response[signal_kept_name(SMALL_FAINT)])
    return Score(float(np.mean(gains)), _mean(left), _mean(kept))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
