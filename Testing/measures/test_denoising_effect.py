"""The figures that a user sees after a run."""

from __future__ import annotations

import numpy as np
import pytest

from LDCTDenoiseLib.measures.denoising_effect import compare

SPACING = (0.8, 0.8)


def test_padding_counts_neither_in_the_shift_nor_in_the_rmse() -> None:
    before, after, reference = np.zeros((3, 2, 64, 64), np.int16)
    before += 6
    after += 3
    before[:, :16] = after[:, :16] = -2000
    reference[:, :16] = -3000
    reference[:, 16:20] = -3000  # padding of the reference alone
    found = compare(before, after, SPACING, slices=(0, 2), reference=reference)
    assert found["mean_shift"] == pytest.approx(-3)
    assert (found["before"]["rmse"], found["after"]["rmse"]) == (pytest.approx(6), pytest.approx(3))


def test_of_padding_alone_there_is_no_rmse() -> None:
    padding = np.full((1, 64, 64), -2000, np.int16)
    assert compare(padding, padding, SPACING, slices=(0, 1), reference=padding)["after"]["rmse"] is None
