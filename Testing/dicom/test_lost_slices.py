"""No slice is lost without a word, and nothing is denoised twice."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising import one_file
from LDCTDenoiseLib.denoising.batch.items import files_of_source, find_items
from LDCTDenoiseLib.denoising.one_file import FileOptions, denoise_file, read_input
from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.dicom.source_files import list_folders
from LDCTDenoiseLib.errors import Code, InputError
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.dicom.dicom_files import make_enhanced, make_slice, refused, save, save_series
from Testing.system.unprivileged import as_nobody

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


# What may be a slice


def empty(path: Path) -> None:
    path.write_bytes(b"")


def short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def without_preamble(path: Path) -> None:
    path.write_bytes(path.read_bytes()[132:])


def a_page_of_an_archive(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>" * 20)


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def a_link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone.dcm")


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (empty, "it is empty"),
    (short, "it is cut off"),
    (without_preamble, "it is DICOM without its preamble"),
    (a_page_of_an_archive, "it is not DICOM"),
    (zeroed, "it is not DICOM"),
    (a_link_to_nowhere, "No such file or directory"),
]


@pytest.mark.parametrize("suffix", [".dcm", "", ".IMA", ".17"])
@pytest.mark.parametrize(("damage", "reason"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_may_be_a_slice_is_not_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None], reason: str, suffix: str
) -> None:
    if damage is a_page_of_an_archive and suffix in ("", ".17"):
        pytest.skip("text without a suffix is a README")
    for number in range(12):
        save(make_slice(number), tmp_path / f"IM_{number}{suffix}")
    for number in (0, 5, 11):
        damage(tmp_path / f"IM_{number}{suffix}")
    error = refused(tmp_path)
    assert f"IM_0{suffix} cannot be read ({reason})" in str(error)
    assert "There are 2 more like this" in str(error)
    assert error.code is Code.UNREADABLE
    series = read_ct_series(tmp_path, allow_missing=True)
    assert len(series.slices) == 9
    assert "Left out: 3 that may be slices and cannot be read (IM_0" in caplog.text


@pytest.mark.parametrize("name", ["README", "VERSION", "notes.txt", "thumb.png", ".DS_Store", "Thumbs.db"])
def test_what_is_no_slice_stops_nothing_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    for number in range(3):
        save(make_slice(number), tmp_path / f"IM_{number}")
    (tmp_path / name).write_bytes(b"\x89PNG\0" if name == "thumb.png" else b"just text\n")
    assert len(read_ct_series(tmp_path).slices) == 3
    assert "Files left out: 1 that is not DICOM." in [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


def test_pixels_that_cannot_be_decoded_are_left_out_only_when_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_series(tmp_path, [0, 1, 2, 3])
    content = (tmp_path / "2.dcm").read_bytes()
    (tmp_path / "2.dcm").write_bytes(content[:-20])
    assert refused(tmp_path).code is Code.UNREADABLE
    series = read_ct_series(tmp_path, allow_missing=True)
    assert [one.path.name for one in series.slices] == ["0.dcm", "1.dcm", "3.dcm"]
    assert "Left out: The pixels of 2.dcm cannot be read" in caplog.text


def test_a_slice_cut_off_before_its_image_is_left_out_only_when_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_series(tmp_path, [0, 1, 2])
    content = (tmp_path / "2.dcm").read_bytes()
    (tmp_path / "2.dcm").write_bytes(content[: content.index(b"MONOCHROME2")])
    assert refused(tmp_path).code is Code.UNREADABLE
    assert len(read_ct_series(tmp_path, allow_missing=True).slices) == 2
    assert "Left out: 1 file of the series, cut off" in caplog.text


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_what_may_not_be_opened_stops_the_series(closed: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        save_series(folder, [0, 1])
        save_series(folder / "more", [2, 3])
        (folder / "more" if closed == "folder" else folder / "1.dcm").chmod(0)
        told = as_nobody(lambda: read_ct_series(folder))
        named = "more" if closed == "folder" else "1.dcm"
        assert told == f"InputError: {named} cannot be read (Permission denied); get the file again."
        assert as_nobody(lambda: len(read_ct_series(folder, allow_missing=True).slices)) == ("2" if closed == "folder" else "3")
        (folder / "more").chmod(0o755)


@pytest.mark.parametrize("target", ["out", "out.nrrd"])
@pytest.mark.parametrize("when", ["before it is read", "while it is computed"])
@pytest.mark.parametrize("where", ["beside", "below"])
def test_a_slice_that_arrives_during_the_run_ends_it(
    tmp_path: Path, zero: Denoiser, monkeypatch: pytest.MonkeyPatch, target: str, when: str, where: str
) -> None:
    source = tmp_path / "in"
    save_series(source, [0, 1, 2])

    def arrive() -> None:
        save(make_slice(3), source / ("3.dcm" if where == "beside" else "new/3.dcm"))

    def read_late(*arguments: object) -> object:
        scan = read_input(*arguments)  # type: ignore[arg-type]
        if when == "before it is read":
            arrive()
        return scan

    progress = (lambda done, total: arrive()) if when == "while it is computed" else None
    monkeypatch.setattr(one_file, "read_input", read_late)
    with pytest.raises(InputError, match=r"1 file came and 0 went, such as 3.dcm; wait until the series is complete"):
        denoise_file(source, tmp_path / target, zero, progress=progress)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    save_series(tmp_path / "real", [0, 1])
    (tmp_path / "linked").mkdir()
    for path in (tmp_path / "real").iterdir():
        (tmp_path / "linked" / path.name).symlink_to(path)
    assert len(read_ct_series(tmp_path / "linked").slices) == 2


def test_links_to_folders_are_followed_to_each_once(tmp_path: Path) -> None:
    save_series(tmp_path / "ct", [0, 1, 2])
    save_series(tmp_path / "elsewhere", [3, 4, 5])
    for place, folder in {"part2": "elsewhere", "again": "elsewhere", "a/round": "ct", "a/own": "ct/b"}.items():
        (tmp_path / "ct" / place).parent.mkdir(exist_ok=True)
        (tmp_path / "ct" / place).symlink_to(tmp_path / folder)
    save_series(tmp_path / "ct" / "b", [6])
    listing = list_folders([tmp_path / "ct"])
    found = {str(path.relative_to(tmp_path / "ct")) for path in listing.files}
    assert found == {"0.dcm", "1.dcm", "2.dcm", "again/3.dcm", "again/4.dcm", "again/5.dcm", "b/6.dcm"}
    assert len(read_ct_series(tmp_path / "ct").slices) == 7
    assert files_of_source(tmp_path / "ct") == list(listing.files)
    listing.check_unchanged()
    assert len(find_items(tmp_path / "ct", tmp_path / "elsewhere" / "out")) == 1


# Counted slices


def numbered(folder: Path, numbers: list[int], first: int, **tags: object) -> None:
    for number in numbers:
        save(make_slice(number, {"InstanceNumber": number + first, **tags}), folder / f"{number}.dcm")


@pytest.mark.parametrize("first", [0, 1])
def test_a_whole_series_gets_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, first: int) -> None:
    numbered(tmp_path, [0, 1, 2, 3], first, NumberOfSeriesRelatedInstances=4)
    read_ct_series(tmp_path)
    assert caplog.text == ""


def test_a_first_slice_that_is_missing_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    numbered(tmp_path, [2, 3, 4], 1)
    read_ct_series(tmp_path)
    assert "Series 7 has InstanceNumber 3 to 5: 2 before them may be missing." in caplog.text


def test_a_last_slice_that_is_missing_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    numbered(tmp_path, [0, 1, 2], 1, NumberOfSeriesRelatedInstances=5)
    read_ct_series(tmp_path)
    assert "Series 7 has 3 of its 5 images; missing: 2." in caplog.text


def test_a_localizer_of_the_series_counts_as_one_of_its_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    numbered(tmp_path, [0, 1, 2], 1, NumberOfSeriesRelatedInstances=4)
    save(make_slice(9, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}), tmp_path / "scout.dcm")
    read_ct_series(tmp_path)
    assert "missing" not in caplog.text


def test_frames_are_counted_by_their_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_ct_series(save(make_enhanced([0, 1, 2]), tmp_path / "0.dcm"))
    assert caplog.text == ""


# What this program made


@pytest.mark.parametrize("target", ["again", "again.nrrd"])
def test_what_this_program_made_is_not_denoised_again(tmp_path: Path, zero: Denoiser, target: str) -> None:
    save_series(tmp_path / "in", [0, 1, 2])
    denoise_file(tmp_path / "in", tmp_path / "once", zero)
    with pytest.raises(InputError, match="denoised by this program already") as error:
        denoise_file(tmp_path / "once", tmp_path / target, zero)
    assert error.value.code is Code.DERIVED
    assert not (tmp_path / target).exists()
    denoise_file(tmp_path / "once", tmp_path / target, zero, FileOptions(force=True))
    assert (tmp_path / target).exists()


def test_a_volume_that_this_program_made_is_not_denoised_again(tmp_path: Path, zero: Denoiser) -> None:
    save_series(tmp_path / "in", [0, 1, 2])
    once, again = tmp_path / "once.nrrd", tmp_path / "again.nrrd"
    denoise_file(tmp_path / "in", once, zero)
    with pytest.raises(InputError, match=r"once\.nrrd was denoised by this program already; give its source") as error:
        denoise_file(once, again, zero)
    assert error.value.code is Code.DERIVED
    assert not again.exists()
    denoise_file(once, again, zero, FileOptions(force=True))
    np.testing.assert_array_equal(read_volume(again).hu, read_volume(once).hu)
