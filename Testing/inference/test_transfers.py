"""Voxels to the device and back: small integers as they are, finished there as on the host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.ct.hu import finish_hu
from LDCTDenoiseLib.inference import transfers as transfers_module
from LDCTDenoiseLib.inference.transfers import compute_batches, travels_as

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("kind", "travels"),
    [
        ("bool", torch.bool),
        ("int8", torch.int8),
        ("uint8", torch.uint8),
        ("int16", torch.int16),
        (">i2", torch.int16),
        ("uint16", torch.float32),
        ("int32", torch.float32),
        ("float32", torch.float32),
        ("float64", torch.float32),
    ],
)
def test_small_integers_travel_as_they_are(kind: str, travels: torch.dtype) -> None:
    assert travels_as(np.dtype(kind)) == travels


@pytest.mark.parametrize("kind", ["int16", ">i2", "uint8", "int32", "float64"])
def test_a_packed_batch_has_the_values_and_is_filled_up(kind: str) -> None:
    array = np.arange(2 * 3 * 8).reshape(2, 3, 8).astype(kind)[:, ::-1, ::2]
    packed = transfers_module._packed(array, 4, pinned=False)
    assert packed.shape == (4, 3, 4)
    assert packed.is_contiguous()
    np.testing.assert_array_equal(packed[:2].numpy(), array)
    assert not packed[2:].any()


def test_batches_come_back_in_order() -> None:
    batches = [[np.full((n, 2, 2), n, np.int16)] for n in (3, 3, 1)]
    results = list(compute_batches(batches, lambda voxels: voxels + 1, CPU, 3))
    assert [one.tolist() for one in results] == [(np.full((n, 2, 2), n + 1)).tolist() for n in (3, 3, 1)]


@given(
    hu=hnp.arrays(st.sampled_from([np.int8, np.uint8, np.int16]), (5,)),
    change=hnp.arrays(np.float32, (5,), elements=st.floats(-1e5, 1e5, width=32)),
    padding=hnp.arrays(bool, (5,)),
)
@settings(deadline=None)
def test_finishing_on_the_device_is_finishing_on_the_host(hu: np.ndarray, change: np.ndarray, padding: np.ndarray) -> None:
    found = finish_hu(torch.from_numpy(hu), torch.from_numpy(change), torch.from_numpy((hu < -1024) | padding))
    expected = finish_hu(hu, change, padding)
    assert found.numpy().dtype == expected.dtype
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("padding", [None, 63, "mask"])
def test_an_int16_volume_gives_the_rounded_result_of_the_same_volume_in_int32(tiny_model: Path, padding: object) -> None:
    volume = np.random.default_rng(0).normal(40, 60, (3, 40, 48)).astype(np.int16)
    volume[0, 0, :6] = [-2000, 63, 32767, -32768, -1024, -1025]
    given_padding = volume == 64 if padding == "mask" else padding
    denoiser = Denoiser(tiny_model, device="cpu", backend="torch")
    on_device = denoiser(volume, padding_value=given_padding)
    on_host = denoiser(volume.astype(np.int32), padding_value=given_padding).clip(-32768, 32767)
    np.testing.assert_array_equal(on_device, on_host)
