"""No two patients are mixed, and lost UIDs lose no image."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising.one_file import FileOptions, denoise_file
from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.dicom.find_series import find_series
from LDCTDenoiseLib.errors import InputError
from Testing.dicom.dicom_files import OTHER_SERIES, SERIES, STUDY, make_slice, refused, save, save_series, stored_values

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def without(dataset: Dataset, *tags: str) -> Dataset:
    for tag in tags:
        delattr(dataset, tag)
    return dataset


def two_patients(folder: Path, *lacking: str, **second: object) -> None:
    for number in range(2):
        save(without(make_slice(number, {"PatientID": "1"}), *lacking), folder / f"{number}.dcm")
        tags = {"PatientID": "1", "SOPInstanceUID": f"{OTHER_SERIES}.{number}", **second}
        save(without(make_slice(number + 2, tags), *lacking), folder / f"{number + 2}.dcm")


@pytest.mark.parametrize(
    "second",
    [{"PatientID": "2"}, {"PatientName": "Other^Phantom"}, {"StudyInstanceUID": f"{STUDY}.7"}],
    ids=lambda one: next(iter(one)),
)
@pytest.mark.parametrize("lacking", [(), ("SeriesInstanceUID",)], ids=["one UID", "no UID"])
def test_two_patients_are_never_one_series(tmp_path: Path, lacking: tuple[str, ...], second: dict[str, object]) -> None:
    two_patients(tmp_path, *lacking, **second)
    assert [len(one.paths) for one in find_series(tmp_path).series] == [2, 2]
    sentence = str(refused(tmp_path))
    assert "holds images of 2 patients, studies or series" in sentence
    assert "Phantom" not in sentence


def test_series_without_a_uid_are_told_apart_by_their_number(tmp_path: Path) -> None:
    two_patients(tmp_path, "SeriesInstanceUID", SeriesNumber=8)
    assert [len(one.paths) for one in find_series(tmp_path).series] == [2, 2]


def test_a_series_without_a_uid_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two_patients(tmp_path, "SeriesInstanceUID")
    assert len(read_ct_series(tmp_path).slices) == 4
    assert "The images have no SeriesInstanceUID" in caplog.text


def test_an_image_that_lacks_a_patient_is_no_other_patient(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1], {"PatientID": "1"})
    save(without(make_slice(2), "PatientName"), tmp_path / "2.dcm")
    assert len(read_ct_series(tmp_path).slices) == 3


@pytest.mark.parametrize("value", ["", None])
def test_a_lost_uid_is_taken_from_the_meta_information(tmp_path: Path, zero: Denoiser, value: str | None) -> None:
    for number in range(3):
        dataset = pydicom.dcmread(save(make_slice(number), tmp_path / f"{number}.dcm"))
        for tag in ("SOPInstanceUID", "SOPClassUID"):
            if value is None:
                delattr(dataset, tag)
            else:
                setattr(dataset, tag, value)
        dataset.save_as(tmp_path / f"{number}.dcm")
    series = read_ct_series(tmp_path)
    assert [one.header.SOPInstanceUID for one in series.slices] == [f"{SERIES}.{number}" for number in (1, 2, 3)]
    denoise_file(tmp_path, tmp_path.parent / "out", zero)
    derived = [pydicom.dcmread(path) for path in sorted((tmp_path.parent / "out").iterdir())]
    assert [one.SourceImageSequence[0].ReferencedSOPInstanceUID for one in derived] == [f"{SERIES}.{one}" for one in (1, 2, 3)]
    shutil.rmtree(tmp_path.parent / "out")


@pytest.mark.parametrize("pixels", ["the same", "other"])
def test_one_uid_at_several_places_is_a_warning(
    tmp_path: Path, zero: Denoiser, caplog: pytest.LogCaptureFixture, pixels: str
) -> None:
    for number in range(4):
        stored = stored_values(0 if pixels == "the same" else number)
        save(make_slice(number, {"SOPInstanceUID": f"{SERIES}.1"}, stored), tmp_path / "in" / f"{number}.dcm")
    assert len(read_ct_series(tmp_path / "in").slices) == 4
    assert "The SOPInstanceUID of 3 images is that of another one at another place; all are used." in caplog.text
    denoise_file(tmp_path / "in", tmp_path / "out", zero)
    derived = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert len({one.SOPInstanceUID for one in derived}) == 4
    for one, number in zip(derived, range(4), strict=True):
        np.testing.assert_array_equal(one.pixel_array, stored_values(0 if pixels == "the same" else number))


def test_a_real_series_with_lost_uids_is_read_whole(
    shared: Path, tmp_path: Path, zero: Denoiser, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("openjpeg", reason="needs the extra: pip install 'ldctdenoise[dicom]'")
    source = shared / "data" / "awkward" / "Siemens_mCT_JPEG2000_lossless_series"
    series = read_ct_series(source)
    assert series.hu.shape == (20, 512, 512)
    assert len({one.header.SOPInstanceUID for one in series.slices}) == 20
    for one, hu in zip(series.slices, series.hu, strict=True):
        dataset = pydicom.dcmread(one.path)
        expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        np.testing.assert_array_equal(hu, expected)
    assert "no SeriesInstanceUID" in caplog.text
    denoise_file(source, tmp_path / "out.nrrd", zero, FileOptions(slices=(0, 1)))
    with pytest.raises(InputError, match="lacks SeriesInstanceUID, without which no DICOM can be derived; write a volume file"):
        denoise_file(source, tmp_path / "out", zero, FileOptions(slices=(0, 1)))


@pytest.mark.parametrize(
    "second",
    [{"PatientID": "2"}, {"StudyInstanceUID": f"{STUDY}.7"}, {"SeriesInstanceUID": OTHER_SERIES}],
    ids=lambda one: next(iter(one)),
)
@pytest.mark.parametrize("changed", [[0], [1, 2], [0, 1, 2]], ids=str)
def test_files_that_are_of_another_by_the_time_they_are_read_are_refused(
    tmp_path: Path, second: dict[str, object], changed: list[int]
) -> None:
    save_series(tmp_path, [0, 1, 2], {"PatientID": "1"})
    (series,) = find_series(tmp_path).series
    save_series(tmp_path, changed, {"PatientID": "1", **second})
    with pytest.raises(InputError, match=f"{changed[0]}.dcm changed since the folder was searched; run again"):
        read_ct_series(series)
