"""``ldctdenoise batch`` from and to a real DICOMweb server: an Orthanc with its plugin, on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from LDCTDenoiseLib.denoising.batch import staged_item
from LDCTDenoiseLib.stores import dicomweb
from Testing.dicom.dicom_files import save
from Testing.orthanc_server import DICOMWEB, MARKER, ORTHANC, PASSWORD, Archive, ct, running_archive
from Testing.s3_server import Line
from Testing.stores.batch_run import RECORDS, Run, local_outputs, private_runs, untimed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ORTHANC is None, reason="no Orthanc (Debian package orthanc)"),
    pytest.mark.skipif(not DICOMWEB.exists(), reason="no DICOMweb plugin (Debian package orthanc-dicomweb)"),
]
SLICES = 6


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    (tmp_path / "orthanc").mkdir()
    with running_archive(tmp_path / "orthanc") as one:
        yield one


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a batch with credentials in ~/.netrc; nothing may stay in the temporary folder, nor be said of password or patient."""
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login recipe password {PASSWORD}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return private_runs(tiny_model, tmp_path / "tmp", monkeypatch, PASSWORD, MARKER)


def write_rows(tmp_path: Path, *rows: tuple[object, object]) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("".join(f"{one},{other}\n" for one, other in [("input", "output"), *rows]), encoding="utf-8")
    return path


def here(tmp_path: Path, run: Run, study: int, description: str = "good") -> dict[str, bytes]:
    """What a local batch makes of a series, by SOPInstanceUID's order of slices."""
    for one in ct(study, description, SLICES):
        save(one, tmp_path / f"local{study}" / "ct" / f"{one.SOPInstanceUID}.dcm")
    assert run(tmp_path / f"local{study}", tmp_path / f"here{study}").code == 0
    return local_outputs(tmp_path / f"here{study}")


def derived(archive: Archive, study: int, description: str = "good LDCTDenoise") -> list[Any]:
    series = archive.series_of(f"2.25.{study}")[description]["MainDicomTags"]["SeriesInstanceUID"]
    return archive.fetch_web(f"2.25.{study}", series)


def as_sent(images: list[Any], tmp_path: Path) -> list[bytes]:
    contents = []
    for image in images:
        image.save_as(tmp_path / "sent.dcm")
        contents.append(untimed((tmp_path / "sent.dcm").read_bytes()))
    return contents


def test_a_study_is_denoised_back_into_its_server_once(
    archive: Archive, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study of two CTs to the server, and a series to a folder; nothing is fetched or stored again."""
    root = f"{archive.url}/dicom-web"
    archive.send(ct(1, "good", SLICES))
    archive.send(ct(1, "another", SLICES))
    archive.send(ct(2, "good", SLICES))
    rows = write_rows(
        tmp_path, (f"{root}/studies/2.25.1", root), (f"{root}/studies/2.25.2/series/2.25.2.4", "two"), (tmp_path / "local3", root)
    )
    for one in ct(3, "good", SLICES):
        save(one, tmp_path / "local3" / "ct" / f"{one.SOPInstanceUID}.dcm")
    done = run(rows, tmp_path / "done")
    assert done.code == 0, done.said
    assert set(done.statuses.values()) == {"denoised"}
    assert len(done.statuses) == 4
    assert archive.count() == 3 * SLICES + 3 * SLICES
    assert {name.removeprefix("two/"): content for name, content in local_outputs(tmp_path / "done").items()} == {
        name.removeprefix("ct/"): content for name, content in here(tmp_path, run, 2).items()
    }
    expected = here(tmp_path, run, 1)
    assert as_sent(derived(archive, 1), tmp_path) == [expected[name] for name in sorted(expected)]
    assert len(derived(archive, 1, "another LDCTDenoise")) == SLICES
    assert len(derived(archive, 3)) == SLICES

    monkeypatch.setattr(staged_item, "private_folder", lambda: pytest.fail("fetched again"))
    assert set(run(rows, tmp_path / "done").statuses.values()) == {"already finished"}
    assert archive.count() == 6 * SLICES


def test_images_that_the_server_lost_are_stored_again(archive: Archive, run: Run, tmp_path: Path) -> None:
    root = f"{archive.url}/dicom-web"
    archive.send(ct(1, "good", SLICES))
    rows = write_rows(tmp_path, (f"{root}/studies/2.25.1/series/2.25.1.4", root))
    assert run(rows, tmp_path / "done").code == 0
    before = as_sent(derived(archive, 1), tmp_path)
    archive.delete(archive.series_of("2.25.1")["good LDCTDenoise"]["Instances"][0])
    assert archive.count() == 2 * SLICES - 1
    assert set(run(rows, tmp_path / "done").statuses.values()) == {"denoised"}
    assert as_sent(derived(archive, 1), tmp_path) == before
    # Records that are lost cost the work, and nothing comes twice.
    for path in (tmp_path / "done" / RECORDS).rglob("*.json"):
        path.unlink()
    assert set(run(rows, tmp_path / "done").statuses.values()) == {"denoised"}
    assert archive.count() == 2 * SLICES


def test_a_server_that_goes_in_the_middle_of_storing_gets_the_rest_later(
    archive: Archive, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.send(ct(1, "good", SLICES))
    archive.send(ct(2, "good", SLICES))
    monkeypatch.setattr(dicomweb, "_POST_BYTES", 20_000)  # two images in a request
    line = Line(archive.port)
    with line.open() as port:
        through = f"http://127.0.0.1:{port}/dicom-web"
        rows = write_rows(tmp_path, *((f"{through}/studies/2.25.{one}/series/2.25.{one}.4", through) for one in (1, 2)))
        line.cut_after = 45_000
        done = run(rows, tmp_path / "done", "--jobs", 1)
        assert line.is_cut
        assert done.code == 1
        assert all("cannot be reached, or broke off" in one["reason"] for one in done.series.values() if one["reason"])
        stored = archive.count() - 2 * SLICES
        assert 0 < stored < SLICES
        line.cut_after = None
        assert run(rows, tmp_path / "done").code == 0
    assert archive.count() == 4 * SLICES
    expected = here(tmp_path, run, 1)
    assert as_sent(derived(archive, 1), tmp_path) == [expected[name] for name in sorted(expected)]


def test_what_the_server_refuses_is_told_and_the_others_go_on(
    archive: Archive, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"{archive.url}/dicom-web"
    archive.send(ct(1, "good", SLICES))
    archive.send(ct(4, "of no HU", SLICES, {"RescaleType": "US"}))
    rows = write_rows(
        tmp_path,
        (f"{root}/studies/2.25.1", "one"),
        (f"{root}/studies/2.25.77", "none"),
        (f"{root}/studies/2.25.78/series/2.25.79", "no series"),
        (f"{root}/studies/2.25.4", "bad"),
        ("http://127.0.0.1:9/dicom-web/studies/2.25.1", "gone"),
    )
    done = run(rows, tmp_path / "done")
    assert done.code == 1
    failed = {name.partition("/")[0]: one["reason"] for name, one in done.series.items() if one["status"] == "failed"}
    assert failed.keys() == {"none", "no series", "bad", "gone"}
    assert "has no CT series" in failed["none"]
    assert "has no images" in failed["no series"]
    assert "has the RescaleType US and not HU" in failed["bad"]
    assert "cannot be reached" in failed["gone"]
    failure = json.loads(next((tmp_path / "done" / RECORDS).rglob("*.failed")).read_text())
    assert failure["reason"]
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login recipe password wrong\n")
    dicomweb_rows = write_rows(tmp_path, (f"{root}/studies/2.25.1/series/2.25.1.4", "again"))
    denied = run(dicomweb_rows, tmp_path / "done")
    assert "is denied; check the credentials (a line for the server in ~/.netrc)" in denied.reason("again")
