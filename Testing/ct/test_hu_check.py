"""A volume that is not in HU is noticed before it is denoised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from LDCTDenoiseLib.ct.hu_check import check_finite, check_hu
from LDCTDenoiseLib.errors import InputError, NotHUError


def volume_with(lowest: float, above_4000: int = 0, kind: type = np.int16) -> np.ndarray:
    """A thousand voxels: soft tissue, one lowest value, and some above 4,000 HU."""
    volume = np.full(1000, 40, kind)
    volume[0] = lowest
    volume[1 : 1 + above_4000] = 4001
    return volume.reshape(10, 10, 10)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32])
def test_a_ct_passes_without_a_word(caplog: pytest.LogCaptureFixture, kind: type) -> None:
    check_hu(volume_with(-1000, kind=kind))
    assert not caplog.records


@pytest.mark.parametrize("lowest", [-50, 0, 30])
def test_a_volume_without_fat_or_air_is_refused(lowest: int) -> None:
    with pytest.raises(NotHUError, match=f"the lowest is {lowest}, "):
        check_hu(volume_with(lowest))


def test_unsigned_voxels_are_refused() -> None:
    with pytest.raises(InputError, match="do not look like HU"):
        check_hu(volume_with(0, kind=np.uint16))


@pytest.mark.parametrize("lowest", [-51, -200])
def test_a_volume_without_air_is_warned_of(caplog: pytest.LogCaptureFixture, lowest: int) -> None:
    check_hu(volume_with(lowest))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "below -200 HU" in caplog.text


def test_a_volume_with_air_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    check_hu(volume_with(-201))
    assert not caplog.records


def test_one_percent_above_4000_is_metal_and_more_is_no_ct() -> None:
    check_hu(volume_with(-1000, above_4000=10))
    with pytest.raises(NotHUError, match=r"lie above 4000\."):
        check_hu(volume_with(-1000, above_4000=11))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_voxels_that_are_not_finite_are_refused_and_counted(value: float, kind: type) -> None:
    volume = np.zeros((3, 4, 5), kind)
    check_finite(volume)
    volume[0, 1, 2] = volume[2, 3, 4] = value
    with pytest.raises(InputError, match=r"NaN or infinity in 2 voxels"):
        check_finite(volume)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_every_finite_value_is_finite(value: float) -> None:
    check_finite(np.full((1, 1, 1), value, np.float32))


def test_integers_are_finite() -> None:
    check_finite(np.full((1, 2, 2), np.iinfo(np.int16).min, np.int16))
