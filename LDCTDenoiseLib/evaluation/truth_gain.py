"""Gain against the truth beneath a noisy reference, estimated.

A pair's normal dose is the truth and noise of its own, so a perfect result gains no more than that noise allows: at a quarter of
the dose 4.8 dB, less where the reference is not the whole dose. Who leaves noise is then told to be better than who removes it.
"""

from __future__ import annotations

import math

import numpy as np

from ..measures.image_quality import ABDOMEN
from .dose_pair import DosePair


def truth_gain(image: np.ndarray, pair: DosePair, share: float) -> float:
    """Gain of a result in dB by its error against the noise-free truth, over the pixels that C50/W400 shows.

    With reference r = t + m and low dose r + n, both noises of the same texture, a result leaves the same share a of both:
    a = <result - r, n> / <n, n>, and its mean squared error against t is that against r less (1 - 2 a) times m's variance.

    Args:
        image: the result, of the pair's shape, HU.
        pair: what it was made from, and its reference.
        share: as ``pair.own_noise_share``.

    Returns:
        NaN where the own noise is unknown, or the error is below what can be told from it.
    """
    if math.isnan(share):
        return math.nan
    low, full = pair.low.astype(np.float64), pair.full.astype(np.float64)
    shown = np.minimum(low, full) > ABDOMEN.low
    shown &= np.maximum(low, full) < ABDOMEN.high
    inserted, error = (low - full)[shown], (image - full)[shown]
    variance = np.mean(inserted**2)
    left = np.mean(error * inserted) / variance
    against_truth = np.mean(error**2) - (1 - 2 * left) * share * variance
    if not against_truth > 0:
        return math.nan
    return float(10 * np.log10((1 + share) * variance / against_truth))


def most_gain(share: float) -> float:
    """Gain in dB against the noisy reference of a result that is the truth itself; infinite without own noise."""
    return -10 * math.log10(share) if share else math.inf
