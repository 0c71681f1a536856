"""What is computed: everything but padding, or the body's bounding box; inside nothing changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.inference.body_box import Box, Region, box_to_denoise
from LDCTDenoiseLib.volumes.volume_file import read_volume


def in_air(side: int = 160, slices: int = 2) -> np.ndarray:
    """Noisy air with a body in it, a thin table under it, and an arm beside it."""
    volume = np.random.default_rng(0).normal(-990, 20, (slices, side, side))
    volume[:, 50:90, 40:100] += 1030
    volume[:, 60:75, 115:125] += 1030
    volume[:, 140:142, 10:150] += 600
    return volume.astype(np.int16)


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_inside_the_bodys_box_nothing_changes_and_outside_the_input_stays(tiny_model: Path, kind: type) -> None:
    volume = in_air().astype(kind)
    everything = Denoiser(tiny_model, device="cpu")(volume)
    body = Denoiser(tiny_model, device="cpu", region="body")(volume)
    box = box_to_denoise(volume, Region.BODY)
    assert box is not None
    inside = np.zeros(volume.shape, bool)
    inside[:, box.rows, box.columns] = True
    assert np.abs(body[inside].astype(float) - everything[inside]).max() <= (1 if kind is np.int16 else 2e-3)
    np.testing.assert_array_equal(body[~inside], volume[~inside])
    assert (everything[~inside] != volume[~inside]).mean() > 0.5


def test_the_bodys_box_holds_arms_and_leaves_tables_and_noise_out() -> None:
    box = box_to_denoise(in_air(), Region.BODY)
    assert box is not None
    assert (box.rows.start, box.columns.start) <= (50, 40)
    assert box.rows.stop >= 90
    assert box.columns.stop >= 125
    assert box.rows.stop < 140
    assert box.shape[0] <= 40 + 16  # a cell's margin and a cell's grid on both sides
    assert box.shape[1] <= 85 + 16


def test_the_bodys_box_is_that_of_all_slices() -> None:
    volume = np.full((3, 64, 64), -1000, np.int16)
    volume[0, 8:16, 8:16] = 40
    volume[1, 12:40, 12:20] = 40
    box = box_to_denoise(volume, Region.BODY)
    assert box == Box(slice(4, 44), slice(4, 24))


@pytest.mark.parametrize("volume", [np.zeros((2, 20, 21), np.uint8), np.full((2, 20, 21), -990, np.float32)])
def test_all_tissue_and_all_air_are_denoised_whole(volume: np.ndarray) -> None:
    assert box_to_denoise(volume, Region.BODY) == Box(slice(0, 20), slice(0, 21))


@given(data=st.data(), rows=st.integers(1, 20), columns=st.integers(1, 20))
@settings(deadline=None)
def test_the_box_around_what_is_not_padding_is_the_smallest(data: st.DataObject, rows: int, columns: int) -> None:
    padding = np.array(data.draw(st.lists(st.booleans(), min_size=2 * rows * columns, max_size=2 * rows * columns)))
    padding = padding.reshape(2, rows, columns)
    volume = np.where(padding, -2000, 40).astype(np.int16)
    box = box_to_denoise(volume, Region.ALL)
    assert box == box_to_denoise(np.full_like(volume, 40), Region.ALL, padding)
    work = ~padding.all(axis=0)
    if not work.any():
        assert box is None
        return
    assert box is not None
    assert work.sum() == work[box.rows, box.columns].sum()
    inner = work[box.rows, box.columns]
    assert inner[0].any()
    assert inner[-1].any()
    assert inner[:, 0].any()
    assert inner[:, -1].any()


@pytest.mark.parametrize("by", ["value below air", "value", "mask"])
def test_padding_around_is_not_computed_and_changes_nothing_else(
    tiny_model: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = np.random.default_rng(0).normal(40, 60, (2, 150, 160)).astype(np.int16)
    volume[:, :100] = -2000 if by == "value below air" else 63
    mask = np.zeros(volume.shape, bool)
    mask[:, :100] = True
    padding = {"value below air": None, "value": 63, "mask": mask}[by]
    volume[:, 100:][volume[:, 100:] == 63] = 64
    denoiser = Denoiser(tiny_model, device="cpu")
    seen: list[tuple[int, ...]] = []
    predict = denoiser._computer.predict  # type: ignore[attr-defined]
    monkeypatch.setattr(denoiser._computer, "predict", lambda x: seen.append(tuple(x.shape)) or predict(x))
    result = denoiser(volume, padding_value=padding)
    np.testing.assert_array_equal(result[:, :100], volume[:, :100])
    assert {shape[2:] for shape in seen} == {(50 + 34, 160)}
    as_float = denoiser(volume.astype(np.float32), padding_value=padding)
    assert np.abs(result - as_float).max() <= 0.501


def test_nothing_but_padding_comes_out_as_it_went_in(tiny_model: Path) -> None:
    volume = np.full((3, 20, 20), -3024, np.int16)
    calls: list[tuple[int, int]] = []
    result = Denoiser(tiny_model, device="cpu")(volume, progress=lambda done, total: calls.append((done, total)))
    np.testing.assert_array_equal(result, volume)
    assert calls == [(3, 3)]


def test_an_unknown_region_is_named_with_the_known_ones(tiny_model: Path) -> None:
    with pytest.raises(InputError, match=r"no region 'lung'.* all, body"):
        Denoiser(tiny_model, device="cpu", region="lung")


def test_the_bodys_box_holds_all_tissue_of_a_real_ct(shared: Path) -> None:
    volume = read_volume(shared / "data/train/chest_LIDC-IDRI-0001.nrrd").hu
    box = box_to_denoise(volume, Region.BODY)
    assert box is not None
    tissue = (volume > -200) & (volume < 300)
    inside = tissue[:, box.rows, box.columns].sum()
    assert inside > 0.985 * tissue.sum()  # the rest is the table
    assert box.shape[0] * box.shape[1] < 0.8 * volume[0].size
