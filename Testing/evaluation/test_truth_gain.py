"""Gain against the truth: what is estimated without it is what it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.evaluation.truth_gain import most_gain, truth_gain

SHARE = 0.5


@pytest.fixture(scope="module")
def scan() -> tuple[np.ndarray, DosePair]:
    """Truth with organs of 40 HU contrast, and its pair: own noise of 10 HU, inserted noise of twice its variance."""
    rng = np.random.default_rng(0)
    truth = np.full((1, 256, 256), 50.0)
    truth[0, 64:128, 32:224] = 90.0
    own, inserted = (ndimage.gaussian_filter(rng.normal(0, 1, truth.shape), (0, 1, 1)) for _ in range(2))
    full = truth + 10 * own / own.std()
    return truth, DosePair("a", "a", full + 10 / math.sqrt(SHARE) * inserted / inserted.std(), full, (0.8, 0.8), (0,))


def decibels(image: np.ndarray, low: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10(np.mean((low - reference) ** 2) / np.mean((image - reference) ** 2)))


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 4.0])
def test_the_estimate_is_the_gain_against_the_truth(scan: tuple[np.ndarray, DosePair], sigma: float) -> None:
    truth, pair = scan
    image = ndimage.gaussian_filter(pair.low, (0, sigma, sigma))
    assert truth_gain(image, pair, SHARE) == pytest.approx(decibels(image, pair.low, truth), abs=0.35)


def test_a_perfect_result_gains_no_more_than_the_own_noise_allows(scan: tuple[np.ndarray, DosePair]) -> None:
    truth, pair = scan
    assert decibels(truth, pair.low, pair.full) == pytest.approx(most_gain(SHARE), abs=0.1)
    assert most_gain(0.0) == math.inf
    # Leaving noise gains more by the noisy reference, and less by the truth.
    worse = truth + 0.3 * (pair.low - truth)
    assert decibels(worse, pair.low, pair.full) > most_gain(SHARE) + 1
    assert truth_gain(worse, pair, SHARE) == pytest.approx(decibels(worse, pair.low, truth), abs=0.25)


def test_the_own_noise_is_measured_in_uniform_tissue(scan: tuple[np.ndarray, DosePair]) -> None:
    assert scan[1].own_noise_share == pytest.approx(SHARE, rel=0.15)


def test_nothing_is_told_where_no_noise_can_be_measured() -> None:
    air = np.full((1, 64, 64), -1000.0)
    pair = DosePair("a", "a", air + 1, air, (0.8, 0.8), (0,))
    assert math.isnan(pair.own_noise_share)
    assert math.isnan(truth_gain(air, pair, pair.own_noise_share))
