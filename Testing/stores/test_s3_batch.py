"""``ldctdenoise batch`` from and to a real S3 server on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from LDCTDenoiseLib.stores.address import Address
from LDCTDenoiseLib.stores.objects import ObjectFolder
from Testing.denoising.test_batch import OUTPUTS, save_dicom, write_tree
from Testing.s3_server import KEY, SECRET, Line, s3_server
from Testing.stores.batch_run import Run, local_outputs, private_runs, stored_outputs, upload

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a batch; nothing may stay in the temporary folder, and no credentials be said."""
    return private_runs(tiny_model, tmp_path / "tmp", monkeypatch, KEY, SECRET, str(tmp_path / "tmp"))


@pytest.fixture
def log_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Set what the environment tells of the server."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # s3fs tries again, too

    def set_all(url: str, key: str = KEY) -> None:
        fsspec.filesystem("s3").clear_instance_cache()
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    return set_all


def make_bucket(name: str) -> ObjectFolder:
    fsspec.filesystem("s3").mkdir(name)
    return ObjectFolder(Address(f"s3://{name}"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "src")


def test_a_bucket_gets_what_a_folder_gets_and_only_once(
    run: Run, log_in: Callable[..., None], tree: Path, tmp_path: Path
) -> None:
    with s3_server(tmp_path) as url:
        log_in(url)
        bucket = make_bucket("archive")
        upload(tree, bucket, "ct")
        assert run(tree, tmp_path / "here").code == 0
        done = run("s3://archive/ct", "s3://archive/done")
        assert (done.code, done.statuses) == (0, dict.fromkeys(OUTPUTS, "denoised")), done.said
        assert stored_outputs(bucket, "done") == local_outputs(tmp_path / "here")
        before = bucket.states()
        assert not [name for name in before if "/.incoming/" in name]
        assert run("s3://archive/ct", "s3://archive/done").statuses == dict.fromkeys(OUTPUTS, "already finished")
        assert {name: state for name, state in bucket.states().items() if not name.endswith("check")} == before
        # From the bucket to a folder, and from a folder to the bucket.
        assert run("s3://archive/ct", tmp_path / "from").statuses == dict.fromkeys(OUTPUTS, "denoised")
        assert local_outputs(tmp_path / "from") == local_outputs(tmp_path / "here")
        assert run(tree, "s3://archive/to").statuses == dict.fromkeys(OUTPUTS, "denoised")
        assert stored_outputs(bucket, "to") == local_outputs(tmp_path / "here")


def test_no_such_bucket_is_told(run: Run, log_in: Callable[..., None], tree: Path, tmp_path: Path) -> None:
    with s3_server(tmp_path) as url:
        log_in(url)
        make_bucket("archive")
        (tmp_path / "rows.csv").write_text("input,output\ns3://nosuch/a.nrrd,a.nrrd\nsrc/a.nrrd,b.nrrd\n")
        done = run(tmp_path / "rows.csv", "s3://archive/done")
        assert done.code == 1
        assert done.statuses == {"a.nrrd": "failed", "b.nrrd": "denoised"}
        assert done.reason("a.nrrd").startswith("s3://nosuch/a.nrrd is not there: no such bucket")
        for source, target in (("s3://nosuch/ct", "s3://archive/done"), (tree, "s3://nosuch/done")):
            done = run(source, target)
            assert done.code == 1
            assert "no such bucket" in done.said


def test_access_denied_is_told(run: Run, log_in: Callable[..., None], tree: Path, tmp_path: Path) -> None:
    with s3_server(tmp_path, unchecked_requests=0) as url:
        log_in(url, "AKIANOBODYZEBRAFISH")
        done = run(tree, "s3://archive/done")
        assert done.code == 1
        assert "is denied; check the credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID and so on) and what they allow" in done.said
        assert "AKIANOBODY" not in done.said


def test_no_credentials_are_told(
    run: Run, log_in: Callable[..., None], tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in("http://127.0.0.1:9")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = run(tree, "s3://archive/done")
    assert "There are no credentials for s3://archive/done" in done.said


@pytest.mark.parametrize("kilobytes", [20, 700])
def test_a_server_that_goes_in_the_middle_costs_no_half_output(
    run: Run, log_in: Callable[..., None], tmp_path: Path, kilobytes: int
) -> None:
    """The line to it is cut after so many bytes: the rest fails in sentences, and the next run does all."""
    source = tmp_path / "src"
    for number in range(3):
        save_dicom(source / f"ct{number}", f"1.2.826.0.1.3680043.8.498.{number + 1}", slices=40)
    with s3_server(tmp_path) as url:
        log_in(url)
        bucket = make_bucket("archive")
        line = Line(int(url.rpartition(":")[2]))
        with line.open() as port:
            log_in(f"http://127.0.0.1:{port}")
            line.cut_after = kilobytes * 1024
            done = run(source, "s3://archive/done", "--jobs", 1)
            assert line.is_cut
        assert done.code == 1
        failed = [output for output, status in done.statuses.items() if status == "failed"]
        assert failed
        for output in failed:
            assert "cannot be reached, or broke off" in done.reason(output)
        log_in(url)
        again = run(source, "s3://archive/done")
        assert again.code == 0, again.said
        assert [output for output, status in again.statuses.items() if status == "already finished"] == [
            output for output in again.statuses if output not in failed
        ]
        assert run(source, tmp_path / "here").code == 0
        assert stored_outputs(bucket, "done") == local_outputs(tmp_path / "here")
        assert not [name for name in bucket.states() if "/.incoming/" in name]
