"""HU rules: what goes into a network and how its prediction gets back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from LDCTDenoiseLib.ct.hu import DEFAULT_SCALE, HUScale, finish_hu, is_padding

hu_values = st.floats(-2000, 5000, width=32)


def test_range_of_a_twelve_bit_ct_maps_to_zero_and_one() -> None:
    assert DEFAULT_SCALE.to_unit(np.array([-1024.0, 3071.0])).tolist() == [0.0, 1.0]


@given(hu_values)
def test_a_network_never_sees_values_outside_zero_and_one(hu: float) -> None:
    assert 0 <= DEFAULT_SCALE.to_unit(torch.tensor([hu])).item() <= 1


@given(hu_values, hu_values)
def test_a_difference_in_network_units_gets_back_to_hu(one: float, other: float) -> None:
    scale = HUScale(offset=5000, width=20000)
    difference = scale.to_unit(np.float64(one)) - scale.to_unit(np.float64(other))
    assert scale.to_hu_difference(difference) == pytest.approx(one - other, abs=1e-6)


def test_padding_is_below_minus_1024_or_the_headers_value() -> None:
    hu = np.array([-2000, -1025, -1024, 0, 63], np.int16)
    assert is_padding(hu).tolist() == [True, True, False, False, False]
    assert is_padding(hu, padding=63).tolist() == [True, True, False, False, True]


def test_padding_comes_out_as_it_went_in() -> None:
    hu = np.array([-3024, -1025, 63, 40], np.int16)
    changed = finish_hu(hu, np.full(4, 7.0, np.float32), padding=63)
    assert changed.tolist() == [-3024, -1025, 63, 47]


def test_integers_are_rounded_to_the_nearest_and_not_truncated() -> None:
    hu = np.array([10, 10, -10, -10], np.int16)
    assert finish_hu(hu, np.array([0.6, -0.6, 0.6, -0.6], np.float32)).tolist() == [11, 9, -9, -11]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.int16, np.int32])
def test_integers_saturate_and_keep_their_type(kind: type[np.integer]) -> None:
    limits = np.iinfo(kind)
    hu = np.array([0 if limits.min == 0 else -1024 if kind is not np.int8 else -128, limits.max]).astype(kind)
    changed = finish_hu(hu, np.array([-40000.0, 1e9], np.float32))
    assert changed.dtype == kind
    assert changed.tolist() == [max(limits.min, int(hu[0]) - 40000), limits.max]


def test_large_integers_keep_their_last_digit() -> None:
    hu = np.array([2**24 + 1], np.int32)
    assert finish_hu(hu, np.array([1.0], np.float32)).tolist() == [2**24 + 2]


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floating_types_give_float32(kind: type[np.floating]) -> None:
    changed = finish_hu(np.array([1.5], kind), np.array([0.25], np.float32))
    assert changed.dtype == np.float32
    assert changed.tolist() == [1.75]
