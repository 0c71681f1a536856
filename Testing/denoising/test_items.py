"""The list of what a batch has to do: what is in it, and what is refused in it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising.batch.attempt import attempt
from LDCTDenoiseLib.denoising.batch.items import Item, find_items
from LDCTDenoiseLib.denoising.batch.one_item import ItemOptions, Recipe, Status
from LDCTDenoiseLib.denoising.batch.records import FOLDER
from LDCTDenoiseLib.system.child import Children
from Testing.dicom.dicom_files import save_series
from Testing.system.unprivileged import as_nobody, closed_folder


def problems(rows: Path, target: Path) -> dict[str, str]:
    """By output."""
    return {str(item.output): item.problem for item in find_items(rows, target)}


def write_rows(folder: Path, *rows: str) -> Path:
    path = folder / "rows.csv"
    path.write_text("input,output\n" + "".join(f"{row}\n" for row in rows))
    return path


def test_a_row_with_a_name_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").touch()
    found = problems(write_rows(tmp_path, f"{'x' * 300}.nrrd,x.nrrd", "a.nrrd,y\0.nrrd", "a.nrrd,a.nrrd"), tmp_path / "dst")
    assert "cannot be looked at (File name too long)" in found["x.nrrd"]
    assert "zero byte" in found["y\0.nrrd"]
    assert found["a.nrrd"] == ""


def test_a_row_in_a_folder_that_may_not_be_entered_is_told() -> None:
    with closed_folder() as folder:
        (folder / "shut").mkdir()
        (folder / "shut" / "c.nrrd").touch()
        (folder / "shut").chmod(0o700)
        rows = write_rows(folder, "shut/c.nrrd,c.nrrd")
        rows.chmod(0o644)
        assert "c.nrrd cannot be looked at (Permission denied)" in as_nobody(lambda: problems(rows, folder / "dst"))


def test_a_failure_that_cannot_be_kept_ends_no_batch(tiny_model: Path, tmp_path: Path) -> None:
    """No record can have a name with a zero byte."""
    denoiser, stop = Denoiser(tiny_model, device="cpu"), threading.Event()
    options = ItemOptions(Recipe(denoiser.provenance((0, 0))), denoiser, Children(stop, "LDCTDenoiseLib", bool), stop)
    assert attempt(Item(tmp_path / "a.nrrd", Path("a\0.nrrd")), tmp_path, options).status is Status.FAILED


@pytest.mark.parametrize("linked", [False, True])
def test_an_output_in_the_place_of_an_input_is_refused(tmp_path: Path, linked: bool) -> None:
    for name in ("p1.nrrd", "p2.nrrd", "p3.nrrd", "study/1.dcm"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "in" / name).touch()
    target = tmp_path / "linked" if linked else tmp_path / "in"
    (tmp_path / "linked").symlink_to(tmp_path / "in")
    rows = ["p1.nrrd,p2.nrrd", "p2.nrrd,p2_denoised.nrrd", "p3.nrrd,study/p3.nrrd", "study,new/study"]
    found = problems(write_rows(tmp_path / "in", *rows), target)
    assert {output for output, problem in found.items() if "is an input of this batch or lies in one" in problem} == {
        "p2.nrrd",
        "study/p3.nrrd",
    }
    assert not any(found[output] for output in ("p2_denoised.nrrd", "new/study"))
    assert not any(problems(tmp_path / "in" / "rows.csv", tmp_path / "elsewhere").values())


def test_an_output_in_the_place_of_an_input_is_refused_where_the_batch_goes_around_its_source(tmp_path: Path) -> None:
    for name in ("x.nrrd", "ct/x.nrrd"):
        (tmp_path / "ct" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "ct" / name).touch()
    found = problems(tmp_path / "ct", tmp_path)
    assert "is an input of this batch" in found["ct/x.nrrd"]
    assert found["x.nrrd"] == ""


def test_what_an_earlier_batch_wrote_is_left_out_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.nrrd", "out1/a.nrrd", "out2/a.nrrd", "kept/a.nrrd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("out1", "out2", "new"):
        (tmp_path / name / FOLDER).mkdir(parents=True)
    assert problems(tmp_path, tmp_path / "new").keys() == {"a.nrrd", "kept/a.nrrd"}
    (said,) = caplog.messages
    assert said == f"Left out: what earlier batches wrote, in {tmp_path / 'out1'}, {tmp_path / 'out2'}."


def test_the_search_compares_no_series_with_every_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        save_series(tmp_path / f"{number:02d}", [0], {"SeriesInstanceUID": f"8.{number}"})
    compared = 0
    is_relative_to = Path.is_relative_to

    def count(self: Path, *other: Path) -> bool:
        nonlocal compared
        compared += 1
        return is_relative_to(self, *other)

    monkeypatch.setattr(Path, "is_relative_to", count)
    assert len(find_items(tmp_path, tmp_path / "dst")) == 20
    assert compared < 100
