"""Which bits of a word are a voxel, which voxels count, and which numbers part a series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising.one_file import denoise_file
from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.errors import InputError
from Testing.dicom.dicom_files import make_slice, refused, save, save_series

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


@pytest.mark.parametrize("highest", [14, 11, 0])
def test_another_high_bit_is_refused(tmp_path: Path, highest: int) -> None:
    save_series(tmp_path, [0, 1], {"HighBit": highest})
    assert f"0.dcm has HighBit {highest} and BitsStored 16" in str(refused(tmp_path))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("padding", [None, 0, -2000, 63536, -3024, 0x1005, 0x7FFF])
def test_bits_of_overlays_never_reach_voxels(tmp_path: Path, signed: bool, padding: int | None) -> None:
    kind = np.int16 if signed else np.uint16
    values = np.arange(48).reshape(6, 8) * (-40 if signed else 40)
    words = (values & 0xFFF).astype(np.uint16)
    expected = values.copy()
    if padding is not None:
        words[2, 3] = padding & 0xFFFF
        outside = not (-2048 <= padding <= 2047 if signed else 0 <= padding & 0xFFFF <= 4095)
        told = padding & 0xFFFF & ~0x1000
        stored = padding if signed and padding < 2**15 else padding & 0xFFFF
        if signed and stored >= 2**15:
            stored -= 2**16
            outside = not -2048 <= stored <= 2047
        masked = stored & 0xFFF
        masked -= 4096 if signed and masked >= 2048 else 0
        expected[2, 3] = stored if outside and told >> 12 else masked
    words[1::2, ::2] |= 0x1000  # an overlay
    words[2, 3] |= 0x1000
    dataset = make_slice(0, {"BitsStored": 12, "HighBit": 11}, words.view(kind))
    dataset.add_new(0x60000010, "US", 6)
    dataset.add_new(0x60000011, "US", 8)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 16)
    dataset.add_new(0x60000102, "US", 12)
    if padding is not None:
        dataset.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    series = read_ct_series(save(dataset, tmp_path / "0.dcm"))
    np.testing.assert_array_equal(series.hu[0] + 1024, expected)


def test_a_number_that_differs_from_image_to_image_does_not_split_a_series(tmp_path: Path) -> None:
    for number in range(6):
        tags: dict[str, object] = {"AcquisitionNumber": number, "ImagePositionPatient": [0, 0, 2.5 * (number % 3)]}
        save(make_slice(number, {**tags, "TemporalPositionIdentifier": number // 3}), tmp_path / f"{number}.dcm")
    series = read_ct_series(tmp_path)
    assert [len(one.slices) for one in series.acquisitions] == [3, 3]
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.TemporalPositionIdentifier = 1
        dataset.save_as(path)
    assert "nothing tells two acquisitions apart" in str(refused(tmp_path))


def test_a_number_that_differs_from_image_to_image_is_no_acquisition_each(tmp_path: Path) -> None:
    for number in range(4):
        save(make_slice(number, {"AcquisitionNumber": number}), tmp_path / f"{number}.dcm")
    assert [len(one.slices) for one in read_ct_series(tmp_path).acquisitions] == [4]


@pytest.mark.parametrize("padding", [-2000, 63536])
@pytest.mark.parametrize("target", ["out", "out.nrrd"])
def test_padding_does_not_count_in_the_hu_check(tmp_path: Path, zero: Denoiser, padding: int, target: str) -> None:
    kind = np.int16 if padding < 0 else np.uint16
    stored = np.full((2, 6, 8), padding, kind)
    stored[:, 1:3, 1:5] = 1000
    tags = {"RescaleIntercept": 0, "PixelRepresentation": int(padding < 0)}
    for number in range(2):
        dataset = make_slice(number, tags, stored[number])
        dataset.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
        save(dataset, tmp_path / "in" / f"{number}.dcm")
    with pytest.raises(InputError, match="the lowest is 1000"):
        denoise_file(tmp_path / "in", tmp_path / target, zero)
    for number in range(2):
        dataset = pydicom.dcmread(tmp_path / "in" / f"{number}.dcm")
        dataset.RescaleIntercept = -1100
        dataset.save_as(tmp_path / "in" / f"{number}.dcm")
    denoise_file(tmp_path / "in", tmp_path / target, zero)
