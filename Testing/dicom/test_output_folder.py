"""The output folder: whole or absent, private until it is whole, and never in place of what this program did not write."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pydicom
import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising.one_file import FileOptions, check_output, denoise_file
from LDCTDenoiseLib.dicom import write_series
from LDCTDenoiseLib.errors import DenoisingCancelled, InputError, OutputError
from Testing.dicom.dicom_files import make_slice, save, save_series

OVERWRITE = FileOptions(overwrite=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    save_series(tmp_path / "in", [0, 1, 2])
    return tmp_path / "in"


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refusal(source: Path, target: Path, options: FileOptions = OVERWRITE) -> str:
    with pytest.raises((InputError, OutputError)) as refused:
        check_output(source, target, options)
    return str(refused.value)


def test_files_are_numbered_and_have_the_usual_rights(tmp_path: Path, source: Path, zero: Denoiser) -> None:
    denoise_file(source, tmp_path / "out", zero)
    assert names(tmp_path / "out") == ["00001.dcm", "00002.dcm", "00003.dcm"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o777 & ~mask
    assert stat.S_IMODE((tmp_path / "out" / "00001.dcm").stat().st_mode) == 0o666 & ~mask


@pytest.mark.skipif(os.name != "posix", reason="rights of POSIX systems")
def test_the_unfinished_folder_is_private(tmp_path: Path, source: Path, zero: Denoiser, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    save_whole = write_series._save

    def watch(dataset: pydicom.Dataset, path: Path, compression: write_series.Compression) -> None:
        save_whole(dataset, path, compression)
        seen.append(stat.S_IMODE(path.parent.parent.stat().st_mode))

    monkeypatch.setattr(write_series, "_save", watch)
    denoise_file(source, tmp_path / "out", zero)
    assert seen == [0o700] * 3


def test_an_empty_folder_is_filled(tmp_path: Path, source: Path, zero: Denoiser) -> None:
    (tmp_path / "out").mkdir()
    denoise_file(source, tmp_path / "out", zero)
    assert len(names(tmp_path / "out")) == 3


def test_a_derived_series_is_replaced_with_overwrite_only(tmp_path: Path, source: Path, zero: Denoiser) -> None:
    denoise_file(source, tmp_path / "out", zero)
    (source / "2.dcm").unlink()
    with pytest.raises((InputError, OutputError), match=r"exists\."):
        denoise_file(source, tmp_path / "out", zero)
    assert len(names(tmp_path / "out")) == 3
    denoise_file(source, tmp_path / "out", zero, OVERWRITE)
    assert len(names(tmp_path / "out")) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("foreign", ["notes.txt", "00009.dcm", "sub/00001.dcm"])
def test_what_this_program_did_not_write_is_never_replaced(tmp_path: Path, source: Path, zero: Denoiser, foreign: str) -> None:
    denoise_file(source, tmp_path / "out", zero)
    if foreign.endswith(".dcm"):
        save(make_slice(9), tmp_path / "out" / foreign)
    else:
        (tmp_path / "out" / foreign).write_text("mine")
    before = names(tmp_path / "out")
    assert "this program did not write" in refusal(source, tmp_path / "out")
    assert names(tmp_path / "out") == before


def test_what_somebody_puts_there_meanwhile_is_not_replaced_either(
    tmp_path: Path, source: Path, zero: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoise_file(source, tmp_path / "out", zero)
    save_whole = write_series._save

    def meanwhile(dataset: pydicom.Dataset, path: Path, compression: write_series.Compression) -> None:
        (tmp_path / "out" / "notes.txt").write_text("mine")
        save_whole(dataset, path, compression)

    monkeypatch.setattr(write_series, "_save", meanwhile)
    with pytest.raises((InputError, OutputError), match="this program did not write"):
        denoise_file(source, tmp_path / "out", zero, OVERWRITE)
    assert names(tmp_path / "out") == ["00001.dcm", "00002.dcm", "00003.dcm", "notes.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize(
    ("target", "sentence"), [("in", "is the input itself"), ("in/out", "lie in each other"), (".", "lie in each other")]
)
def test_input_and_output_must_not_lie_in_each_other(tmp_path: Path, source: Path, target: str, sentence: str) -> None:
    assert sentence in refusal(source, tmp_path / target)


def test_a_link_to_the_input_is_the_input(tmp_path: Path, source: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    assert "is the input itself" in refusal(source, tmp_path / "link")


def test_a_file_is_no_output_folder(tmp_path: Path, source: Path) -> None:
    (tmp_path / "out").write_text("mine")
    assert "is a file" in refusal(source, tmp_path / "out")


def test_one_dicom_file_is_no_output(tmp_path: Path, source: Path) -> None:
    assert "named as a DICOM file" in refusal(source, tmp_path / "out.dcm")


def test_the_axis_cannot_be_chosen_for_dicom(tmp_path: Path, source: Path) -> None:
    assert "leave the axis out" in refusal(source, tmp_path / "out", FileOptions(axis="1"))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_a_failure_in_the_middle_leaves_what_was_there(
    tmp_path: Path,
    source: Path,
    zero: Denoiser,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    overwrite: bool,
) -> None:
    if overwrite:
        denoise_file(source, tmp_path / "out", zero)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path) if (tmp_path / name).is_file()}
    save_whole = write_series._save

    def fail(dataset: pydicom.Dataset, path: Path, compression: write_series.Compression) -> None:
        if path.name == "00002.dcm":
            raise failure
        save_whole(dataset, path, compression)

    monkeypatch.setattr(write_series, "_save", fail)
    with pytest.raises((InputError, OutputError) if isinstance(failure, OSError) else type(failure)) as raised:
        denoise_file(source, tmp_path / "out", zero, FileOptions(overwrite=overwrite))
    if isinstance(failure, OSError):
        assert "cannot be written (No space left on device)" in str(raised.value)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path) if (tmp_path / name).is_file()} == before
    assert (tmp_path / "out").exists() is overwrite


def test_cancelling_while_writing_leaves_nothing(tmp_path: Path, source: Path, zero: Denoiser) -> None:
    answers = iter([False, False, True])
    with pytest.raises(DenoisingCancelled):
        denoise_file(source, tmp_path / "out", zero, cancel=lambda: next(answers, True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
