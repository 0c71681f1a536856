"""Which files make a series: folders, media with a DICOMDIR, single files, and what breaks off or lies elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import SecondaryCaptureImageStorage

from LDCTDenoiseLib.dicom import ct_series
from LDCTDenoiseLib.dicom.arrange import Acquisition
from LDCTDenoiseLib.dicom.ct_series import CTSeries, read_ct_series
from LDCTDenoiseLib.dicom.find_series import find_series
from LDCTDenoiseLib.dicom.slices import Slice
from LDCTDenoiseLib.dicom.source_files import Listing
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.system.work_folder import TEMPORARY_PREFIX, WorkFolder
from Testing.dicom.dicom_files import OTHER_SERIES, SERIES, make_enhanced, make_slice, save, save_series, stored_values

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def refusal(source: Path, uid: str | None = None, *, force: bool = False) -> str:
    with pytest.raises(InputError) as refused:
        read_ct_series(source, uid, force=force)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def numbers_of(series: CTSeries) -> list[int]:
    """Which slices of the helper's numbering these are, checked by their pixels."""
    numbers = [int(values[0, 0]) // 100 for values in series.hu + 1024]
    for number, hu in zip(numbers, series.hu, strict=True):
        np.testing.assert_array_equal(hu, stored_values(number).astype(int) - 1024)
    return numbers


# One file


def test_a_single_file_is_a_series_of_one(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1, 2])
    assert numbers_of(read_ct_series(tmp_path / "1.dcm")) == [1]


def test_a_file_without_extension_is_known_by_its_content(tmp_path: Path) -> None:
    save(make_slice(3), tmp_path / "IM_0001")
    assert numbers_of(read_ct_series(tmp_path)) == [3]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_frames_of_enhanced_ct_are_sorted_by_place(tmp_path: Path, order: list[int]) -> None:
    series = read_ct_series(save(make_enhanced(order), tmp_path / "0.dcm"))
    assert numbers_of(series) == [0, 1, 2]
    assert series.acquisitions[0].step == 2.5


def test_frames_have_their_own_rescale(tmp_path: Path) -> None:
    dataset = make_enhanced([0, 1])
    item = Dataset()
    item.RescaleSlope, item.RescaleIntercept, item.RescaleType = 2, -1000, "HU"
    dataset.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence = [item]
    series = read_ct_series(save(dataset, tmp_path / "0.dcm"))
    np.testing.assert_array_equal(series.hu[0], stored_values(0).astype(int) - 1024)
    np.testing.assert_array_equal(series.hu[1], stored_values(1).astype(int) * 2 - 1000)


def test_enhanced_ct_that_describes_too_few_frames_is_refused(tmp_path: Path) -> None:
    dataset = make_enhanced([0, 1, 2])
    del dataset.PerFrameFunctionalGroupsSequence[2]
    assert "describes 2 of its frames" in refusal(save(dataset, tmp_path / "0.dcm"))


def test_enhanced_ct_that_is_not_hu_needs_force(tmp_path: Path) -> None:
    path = save(make_enhanced([0, 1], {"RescaleType": "US"}), tmp_path / "0.dcm")
    assert "has the RescaleType US and not HU." in refusal(path)
    assert numbers_of(read_ct_series(path, force=True)) == [0, 1]


# DICOMDIR


def make_medium(folder: Path) -> Path:
    """A medium with a DICOMDIR and two series."""
    medium = FileSet()
    tags = {"PatientID": "1", "StudyDate": "20200101", "StudyTime": "1200", "StudyID": "1"}
    for number in (0, 1, 2):
        medium.add(make_slice(number, {**tags, "InstanceNumber": number}))
    other = {"SeriesInstanceUID": OTHER_SERIES, "SOPInstanceUID": f"{OTHER_SERIES}.1", "InstanceNumber": 1}
    medium.add(make_slice(5, {**tags, **other}))
    medium.write(folder)
    return folder / "DICOMDIR"


def point_to(dicomdir: Path, parts: list[str]) -> None:
    """Change the first reference to a file."""
    dataset = pydicom.dcmread(dicomdir)
    record = next(record for record in dataset.DirectoryRecordSequence if "ReferencedFileID" in record)
    record.ReferencedFileID = parts
    dataset.save_as(dicomdir)


@pytest.mark.parametrize("given", ["file", "folder"])
def test_a_dicomdir_gives_its_series(tmp_path: Path, given: str) -> None:
    dicomdir = make_medium(tmp_path)
    source = dicomdir if given == "file" else tmp_path
    assert numbers_of(read_ct_series(source, SERIES)) == [0, 1, 2]
    assert numbers_of(read_ct_series(source, OTHER_SERIES)) == [5]
    assert "holds 2 CT series" in refusal(source)


def test_a_dicomdir_does_not_count_what_it_does_not_name(tmp_path: Path) -> None:
    dicomdir = make_medium(tmp_path)
    save(make_slice(3), tmp_path / "stray.dcm")
    assert numbers_of(read_ct_series(dicomdir, SERIES)) == [0, 1, 2]
    assert numbers_of(read_ct_series(tmp_path, SERIES)) == [0, 1, 2, 3]


@pytest.mark.parametrize("parts", [["..", "outside.dcm"], ["A", "..", "..", "outside.dcm"], ["../outside.dcm"]])
def test_a_dicomdir_cannot_point_out_of_its_folder(tmp_path: Path, parts: list[str]) -> None:
    save(make_slice(0), tmp_path / "outside.dcm")
    dicomdir = make_medium(tmp_path / "medium")
    point_to(dicomdir, parts)
    assert "points to a file outside its folder" in refusal(dicomdir)


def test_a_dicomdir_cannot_point_out_of_its_folder_by_a_link(tmp_path: Path) -> None:
    save(make_slice(0), tmp_path / "secret" / "0.dcm")
    dicomdir = make_medium(tmp_path / "medium")
    (tmp_path / "medium" / "LINK").symlink_to(tmp_path / "secret")
    point_to(dicomdir, ["LINK", "0.dcm"])
    assert "points to a file outside its folder" in refusal(dicomdir)


def test_a_dicomdir_that_names_a_missing_file_is_refused(tmp_path: Path) -> None:
    dicomdir = make_medium(tmp_path)
    point_to(dicomdir, ["NOT", "THERE"])
    assert "names a file that is not there (NOT/THERE)" in refusal(dicomdir)


# What counts, and what is told


def test_what_is_left_out_is_told_by_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "LDCTDenoiseLib")
    save_series(tmp_path, [0, 1])
    (tmp_path / "notes.txt").write_text("no DICOM")
    save(make_slice(7, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}), tmp_path / "scout.dcm")
    report = {"SOPClassUID": SecondaryCaptureImageStorage, "ImagePositionPatient": None, "RescaleSlope": None}
    save(make_slice(8, report), tmp_path / "dose.dcm")
    assert numbers_of(read_ct_series(tmp_path)) == [0, 1]
    told = "Files left out: 1 image without a place in the patient (dose report, screenshot), "
    assert told + "1 localizer, 1 that is not DICOM." in caplog.text


def test_a_folder_with_nothing_but_localizers_is_refused_with_the_reason(tmp_path: Path) -> None:
    save(make_slice(7, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}), tmp_path / "scout.dcm")
    assert "holds no CT slice in DICOM (files left out: 1 localizer)" in refusal(tmp_path)


def test_ct_is_chosen_among_other_modalities(tmp_path: Path) -> None:
    save_series(tmp_path / "ct", [0, 1])
    save_series(tmp_path / "pet", [0, 1, 2], {"SeriesInstanceUID": OTHER_SERIES, "Modality": "PT"})
    assert len(read_ct_series(tmp_path).slices) == 2
    assert "The series is PT and not CT." in refusal(tmp_path, OTHER_SERIES)
    assert len(read_ct_series(tmp_path, OTHER_SERIES, force=True).slices) == 3


def test_an_unfinished_output_is_no_input(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1])
    work = WorkFolder(tmp_path)
    try:
        save_series(work.make_folder(), [0, 1], {"SeriesInstanceUID": OTHER_SERIES})
        assert len(find_series(tmp_path).series) == 1
    finally:
        work.close()


def test_a_folder_of_someone_who_likes_our_names_is_an_input(tmp_path: Path) -> None:
    save_series(tmp_path / f"{TEMPORARY_PREFIX}mine", [0, 1])
    assert len(find_series(tmp_path).series) == 1


# Damage


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_a_slice_cut_off_anywhere_is_never_passed_over(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    save_series(folder, [0, 1, 2])
    content = (folder / "1.dcm").read_bytes()
    length = 132 + int(share * (len(content) - 132))  # shorter, it is no DICOM at all, and told as such
    (folder / "1.dcm").write_bytes(content[:length])
    assert "1.dcm" in refusal(folder)
    shutil.rmtree(folder)


def test_a_damaged_file_of_another_series_does_not_stop_the_one_that_is_chosen(tmp_path: Path) -> None:
    save_series(tmp_path / "one", [0, 1])
    save_series(tmp_path / "two", [0, 1], {"SeriesInstanceUID": OTHER_SERIES})
    path = tmp_path / "two" / "1.dcm"
    content = path.read_bytes()
    # After the series' UID, before the rows.
    path.write_bytes(content[: content.index(b"MONOCHROME2")])
    assert numbers_of(read_ct_series(tmp_path, SERIES)) == [0, 1]
    assert "1.dcm is cut off before its image" in refusal(tmp_path, OTHER_SERIES)


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"RescaleSlope": 0}, "RescaleSlope of 0"),
        ({"PixelSpacing": [0, 0.7]}, "a place or spacing that is impossible"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "a place or spacing that is impossible"),
        ({"BitsStored": None}, "lacks BitsStored"),
        ({"RescaleSlope": "0.00000001", "RescaleIntercept": "1000.5"}, "too small to be one of HU"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, tags: dict[str, object], sentence: str) -> None:
    save(make_slice(tags=tags), tmp_path / "0.dcm")
    assert sentence in refusal(tmp_path)


@pytest.mark.parametrize("change", ["other rescale", "gone"])
def test_a_file_that_changes_between_its_header_and_its_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    save_series(tmp_path, [0, 1, 2])
    arrange = ct_series.arrange

    def meanwhile(slices: list[Slice]) -> list[Acquisition]:
        (tmp_path / "1.dcm").unlink()
        if change == "other rescale":
            save(make_slice(1, {"RescaleIntercept": -1000}), tmp_path / "1.dcm")
        return arrange(slices)

    monkeypatch.setattr(ct_series, "arrange", meanwhile)
    sentence = "1.dcm changed while it was read" if change == "other rescale" else "1.dcm cannot be read"
    assert sentence in refusal(tmp_path)


class _Counted(tuple[Path, ...]):
    """Files that count how often someone goes through them."""

    passes = 0

    def __iter__(self) -> Iterator[Path]:
        self.passes += 1
        return super().__iter__()


def test_an_archive_is_gone_through_once_for_all_its_series() -> None:
    folders = [Path(f"/archive/{number:02d}") for number in range(30)]
    files = _Counted(folder / f"{number}.dcm" for folder in folders for number in range(4))
    parts = list(Listing((Path("/archive"),), True, files).parts([*([one, one] for one in folders), folders[1::-1]]))
    assert files.passes == 1
    assert [part.folders for part in parts] == [*((one,) for one in folders), (folders[0], folders[1])]
    assert [part.files for part in parts] == [*(files[at : at + 4] for at in range(0, 120, 4)), files[:8]]
