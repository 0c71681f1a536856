"""A volume held in memory, written as a series derived from the files that it was loaded from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from LDCTDenoiseLib.dicom.export_volume import export_volume
from LDCTDenoiseLib.errors import InputError, OutputError
from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.models.provenance import Provenance
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.dicom.dicom_files import COLUMNS, OTHER_SERIES, ROWS, STEP_MM, make_slice, save, save_series

COUNT = 5
ACROSS, DOWN = np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
MADE = Provenance("tiny", "ab" * 32, DenoisingOptions(levels=2, blend=0.7), (1, 3))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    save_series(tmp_path / "source", list(range(COUNT)))
    # A database names files as it likes, and a volume's list of them need not be in order.
    return sorted((tmp_path / "source").iterdir(), reverse=True)


def places(count: int = COUNT, step: float = STEP_MM) -> np.ndarray:
    return np.array([[-12.5, 30.25, number * step] for number in range(count)])


def denoised(files: list[Path]) -> np.ndarray:
    hu = read_volume(files[0].parent).hu
    return (hu + np.arange(hu.size).reshape(hu.shape) % 7).astype(hu.dtype)


def test_every_slice_gets_its_voxels_and_its_sources_place(files: list[Path], tmp_path: Path) -> None:
    hu = denoised(files)
    uids = export_volume(files, hu, places(), ACROSS, DOWN, tmp_path / "out", MADE)
    np.testing.assert_array_equal(read_volume(tmp_path / "out").hu, hu)
    written = [dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert {one.SeriesInstanceUID for one in written} == set(uids)
    assert [float(one.ImagePositionPatient[2]) for one in written] == [number * STEP_MM for number in range(COUNT)]
    assert ["Copied" in one.DerivationDescription for one in written] == [True, False, False, True, True]
    assert all(one.PatientName == "Test^Phantom" for one in written)


def test_a_volume_stacked_from_the_top_is_turned_over(files: list[Path], tmp_path: Path) -> None:
    hu = denoised(files)
    export_volume(files, hu[::-1], places()[::-1], ACROSS, DOWN, tmp_path / "out", MADE)
    np.testing.assert_array_equal(read_volume(tmp_path / "out").hu, hu)
    written = [dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    # Slices 1 and 2 counted from the top.
    assert ["Copied" in one.DerivationDescription for one in written] == [True, True, False, False, True]


def test_floating_voxels_are_rounded_to_the_sources_steps(files: list[Path], tmp_path: Path) -> None:
    hu = denoised(files)
    export_volume(files, hu + 0.4, places(), ACROSS, DOWN, tmp_path / "out", MADE)
    np.testing.assert_array_equal(read_volume(tmp_path / "out").hu, hu)


@pytest.mark.parametrize("upwards", [True, False])
def test_what_the_header_calls_padding_comes_out_as_it_was(tmp_path: Path, upwards: bool) -> None:
    save_series(tmp_path / "source", list(range(COUNT)), {"PixelPaddingValue": 0})  # -1024 HU, which may be air
    files = sorted((tmp_path / "source").iterdir())
    padding = read_volume(tmp_path / "source").padding
    assert padding is not None
    hu = denoised(files) + np.int16(5)
    order = slice(None, None, 1 if upwards else -1)
    export_volume(files, hu[order], places()[order], ACROSS, DOWN, tmp_path / "out", MADE)
    np.testing.assert_array_equal(read_volume(tmp_path / "out").padding, padding)
    np.testing.assert_array_equal(read_volume(tmp_path / "out").hu, np.where(padding, -1024, hu))


def test_uneven_slices_that_a_volume_spread_evenly_keep_their_own_places(tmp_path: Path) -> None:
    numbers = [0, 1, 2, 4, 5]
    files = [save(make_slice(number), tmp_path / "source" / f"{number}.dcm") for number in numbers]
    hu = np.stack([dcmread(path).pixel_array.astype(np.int16) - 1024 for path in files])
    export_volume(files, hu, places(step=5 * STEP_MM / 4), ACROSS, DOWN, tmp_path / "out", MADE)
    written = [dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert [float(one.ImagePositionPatient[2]) for one in written] == [number * STEP_MM for number in numbers]
    np.testing.assert_array_equal(np.stack([one.pixel_array.astype(np.int16) - 1024 for one in written]), hu)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda given: given.update(hu=given["hu"][:-1], places=places(COUNT - 1)), "cropped, resampled"),
        (lambda given: given.update(hu=np.zeros((COUNT, ROWS, COLUMNS + 1), np.int16)), "cropped, resampled"),
        (lambda given: given.update(across=DOWN, down=ACROSS), "turned or moved"),
        (lambda given: given.update(places=places() + np.array([0, 0, 40])), "turned or moved"),
        (lambda given: given["files"][2].unlink(), "not where they were"),
        (lambda given: save(make_slice(2, {"PatientName": "Other"}), given["files"][2]), "of another patient, study or series"),
        (lambda given: save(make_slice(2, {"SeriesInstanceUID": OTHER_SERIES}), given["files"][2]), "of another patient"),
        (lambda given: given.update(files=[]), "not where they were"),
    ],
)
def test_a_volume_that_is_not_these_files_is_refused(
    files: list[Path], tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    given = {"files": files, "hu": denoised(files), "places": places(), "across": ACROSS, "down": DOWN}
    change(given)
    with pytest.raises(InputError, match=words):
        export_volume(given["files"], given["hu"], given["places"], given["across"], given["down"], tmp_path / "out", MADE)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("keep me")
    with pytest.raises(OutputError):
        export_volume(files, denoised(files), places(), ACROSS, DOWN, tmp_path / "out", MADE)
    assert (tmp_path / "out" / "precious").read_text() == "keep me"
