"""Stored values to HU and back: nothing is lost, whatever the slope."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from pydicom.valuerep import DSfloat

from LDCTDenoiseLib.dicom.rescale import Rescale

decimals = st.integers(1, 13).flatmap(
    lambda digits: st.integers(1, 10**digits).map(lambda n: float(DSfloat(n / 10 ** (digits - 2), auto_format=True)))
)
slopes = decimals.filter(lambda slope: 0.01 <= slope <= 100)
intercepts = st.one_of(st.integers(-5000, 5000).map(float), st.floats(-5000, 5000).map(lambda x: round(x, 4)))
stored_values = st.lists(st.integers(-(2**15), 2**16 - 1), min_size=1, max_size=20).map(np.array)


@given(slopes, intercepts, stored_values)
def test_hu_become_the_stored_values_that_they_were(slope: float, intercept: float, stored: np.ndarray) -> None:
    rescale = Rescale(slope, intercept)
    np.testing.assert_array_equal(rescale.to_stored(rescale.to_hu(stored)), stored)


@given(slopes, intercepts, stored_values)
def test_a_finer_rescale_has_steps_of_at_most_1_hu_and_the_same_hu(slope: float, intercept: float, stored: np.ndarray) -> None:
    rescale = Rescale(slope, intercept)
    finer, factor = rescale.finer()
    assume(finer != rescale or slope <= 1)
    assert 0 < finer.slope <= 1
    written_slope = float(finer.slope_text)
    np.testing.assert_array_equal(stored * factor * written_slope + intercept, stored * slope + intercept)
    np.testing.assert_array_equal(finer.to_stored(rescale.to_hu(stored)), stored * factor)


@given(st.integers(2, 1000))
def test_a_whole_slope_becomes_1(slope: int) -> None:
    assert Rescale(float(slope), -1024.0).finer() == (Rescale(1.0, -1024.0), slope)


def test_hu_between_two_stored_values_go_to_the_nearest() -> None:
    np.testing.assert_array_equal(Rescale(0.5, 0.0).to_stored(np.array([0.2, 0.3, -0.2, -0.3], np.float32)), [0, 1, 0, -1])
    np.testing.assert_array_equal(Rescale(1.0, -1000.0).to_stored(np.array([-1000.6, -999.6], np.float32)), [-1, 0])
