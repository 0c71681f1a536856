"""The recipe of examples/orthanc against a real Orthanc: what is sent there comes back denoised, once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from LDCTDenoiseLib.commands.command_line import main
from Testing.conftest import REPOSITORY
from Testing.dicom.dicom_files import save
from Testing.orthanc_server import DEADLINE_SECONDS, DICOMWEB, EXAMPLE, MARKER, ORTHANC, Archive, ct, running_archive, wait_for

ENGINE = ["--device", "cpu", "--backend", "torch", "--threads", "1"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ORTHANC is None, reason="no Orthanc (Debian package orthanc)"),
]


class Script:
    """The recipe, as a process."""

    def __init__(self, archive: Archive, state: Path, model: Path, *options: object) -> None:
        self._archive, self.state, self._model, self._options = archive, state, model, options
        self.log = state.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, EXAMPLE / "denoise_new_series.py", "--url", self._archive.url]
        command += [
            "--credentials",
            self._archive.credentials,
            "--state",
            self.state,
            "--model",
            self._model,
            *ENGINE,
            *self._options,
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "http_proxy": "http://127.0.0.1:9"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=REPOSITORY, env=environment)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def ends(self) -> int:
        """Its exit code, when it ends by itself."""
        assert self._process is not None
        code = self._process.wait(DEADLINE_SECONDS)
        self._process = None
        return code

    def stop(self) -> int:
        """As a container's end does."""
        assert self._process is not None
        self._process.terminate()
        return self.ends()

    def said(self) -> str:
        assert self._process is None or self._process.poll() is None, self.log.read_text(encoding="utf-8")
        return self.log.read_text(encoding="utf-8")

    def is_done(self) -> bool:
        """Whether it has looked at all that there is, its own results too."""
        self.said()  # it lives
        path = self.state / "todo.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        stable = all(one["IsStable"] for one in self._archive.get("/series?expand"))
        return stable and known == {"last_change": self._archive.get("/changes?last")["Last"], "tries": {}, "results": {}}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with running_archive(tmp_path_factory.mktemp("orthanc")) as one:
        yield one


@pytest.fixture
def script(archive: Archive, tmp_path: Path, tiny_model: Path) -> Iterator[Script]:
    one = Script(archive, tmp_path / "state", tiny_model)
    try:
        yield one
    finally:
        one.kill()


def hu(dataset: Dataset) -> np.ndarray:
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def test_a_series_sent_by_dicom_comes_back_as_the_command_line_denoises_it(
    archive: Archive, script: Script, tiny_model: Path, tmp_path: Path
) -> None:
    """A bad series before it is told in a sentence and does not stop it; nothing of the patient is told.

    Orthanc is killed before it takes the series for stable, and so never reports that they are.
    """
    archive.send(ct(1, "of no HU", 3, {"RescaleType": "US"}))
    source = ct(2, "good", 6)
    archive.send(source)
    archive.stop(signal.SIGKILL)
    archive.start()
    assert "StableSeries" not in {change["ChangeType"] for change in archive.get("/changes")["Changes"]}
    script.start()
    wait_for(script.is_done, "the end of the work")
    assert archive.count() == 3 + 6 + 6

    for one in source:
        save(one, tmp_path / "in" / f"{one.SOPInstanceUID}.dcm")
    assert main(["denoise", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(tiny_model), "--quiet", *ENGINE]) == 0
    expected = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    series = archive.series_of("2.25.2")["good LDCTDenoise"]["MainDicomTags"]["SeriesInstanceUID"]
    ways = [archive.fetch(f"{MARKER}2", "2.25.2", series)]
    if DICOMWEB.exists():
        ways.append(archive.fetch_web("2.25.2", series))
    for fetched in ways:
        assert [one.SOPInstanceUID for one in fetched] == [one.SOPInstanceUID for one in expected]
        for got, want, original in zip(fetched, expected, source, strict=True):
            assert got.SeriesInstanceUID == want.SeriesInstanceUID != original.SeriesInstanceUID
            assert got.StudyInstanceUID == original.StudyInstanceUID
            assert got.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
            for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "FrameOfReferenceUID", "PatientID"):
                assert got[tag].value == original[tag].value
            np.testing.assert_array_equal(hu(got), hu(want))
            assert np.abs(hu(got) - hu(original)).max() > 0

    assert set(archive.series_of("2.25.1")) == {"of no HU"}
    said = script.said()
    assert said.count("has the RescaleType US and not HU") == 1
    assert MARKER not in said
    assert "Traceback" not in said
    wait_for(lambda: not list((script.state / "work").iterdir()), "the files at work to be removed")
    if not DICOMWEB.exists():
        pytest.skip("fetched over C-GET only: no DICOMweb plugin (Debian package orthanc-dicomweb)")


def test_killed_with_half_of_the_result_stored_it_goes_on_without_a_duplicate(archive: Archive, script: Script) -> None:
    """The script is killed twice, Orthanc once; a state that knows of nothing later does nothing twice either."""
    count = 60
    before = archive.count()
    archive.send(ct(3, "many", count))
    script.start()
    wait_for((script.state / "work" / "source").exists, "the source to be fetched", pause=0)
    script.kill()
    assert archive.count() == before + count
    script.start()
    wait_for(lambda: archive.count() > before + count, "the first stored image", pause=0)
    script.kill()
    half = archive.count() - before - count
    assert 0 < half < count
    archive.stop(signal.SIGKILL)
    script.start()
    wait_for(lambda: "Orthanc does not answer. Waiting for it." in script.said(), "the script to miss Orthanc")
    archive.start()
    wait_for(script.is_done, "the rest")
    assert archive.count() == before + 2 * count
    assert f"{count - half} images stored, {half} were there" in script.said()
    script.kill()

    def once_and_whole() -> None:
        series = archive.series_of("2.25.3")
        assert {description: len(one["Instances"]) for description, one in series.items()} == {
            "many": count,
            "many LDCTDenoise": count,
        }

    once_and_whole()
    series = archive.series_of("2.25.3")
    # As of an Orthanc that was set up anew since, with a series at which the script died thrice.
    another = {"last_change": 10**6, "tries": {series["many LDCTDenoise"]["ID"]: 3}}  # without results: of an older script
    (script.state / "todo.json").write_text(json.dumps(another), encoding="utf-8")
    script.log.write_text("", encoding="utf-8")
    total = archive.count()
    script.start()
    wait_for(script.is_done, "a look at all series")
    assert f"{series['many']['ID']}: its derived series is there already" in script.said()
    assert "every series is looked at again" in script.said()
    assert f"{series['many LDCTDenoise']['ID']}: given up after 3 tries" in script.said()
    assert archive.count() == total
    once_and_whole()


# What Orthanc does not take


@pytest.fixture
def own_archive(tmp_path: Path) -> Iterator[Callable[..., Archive]]:
    """Starts an Orthanc with options of its own."""
    started: list[Archive] = []

    def start(options: dict[str, Any]) -> Archive:
        (tmp_path / "archive").mkdir(exist_ok=True)
        started.append(Archive(tmp_path / "archive", options))
        started[-1].start()
        return started[-1]

    yield start
    for one in started:
        one.stop(signal.SIGKILL)


def results_kept(script: Script) -> int:
    """Images of results in the state."""
    return len(list((script.state / "work").glob("*/*.dcm")))


FILTER = """
function ReceivedInstanceFilter(dicom, origin, info)
    local rejecting = io.open("{switch}", "r")
    if not rejecting then return true end
    local last = rejecting:read("*a")
    rejecting:close()
    return not (string.find(dicom.SeriesDescription, "LDCTDenoise") and (last == "" or dicom.InstanceNumber == last))
end
"""


def test_what_a_filter_rejects_is_kept_and_stored_when_it_lets_it_pass(
    own_archive: Callable[..., Archive], tiny_model: Path, tmp_path: Path
) -> None:
    """Two studies; first all images are rejected, then one of them; the script is stopped, and Orthanc killed, meanwhile."""
    switch = tmp_path / "rejecting"
    switch.write_text("")
    (tmp_path / "filter.lua").write_text(FILTER.format(switch=switch))
    archive = own_archive({"LuaScripts": [str(tmp_path / "filter.lua")]})
    studies = {11: ct(11, "one", 4), 12: ct(12, "two", 5)}
    for study, slices in studies.items():
        for number, one in enumerate(slices):
            one.InstanceNumber = 10 * study + number
        archive.send(slices)
    script = Script(archive, tmp_path / "state", tiny_model)
    script.start()
    try:
        wait_for(lambda: script.said().count("images were not taken (FilteredOut)") >= 2, "two refusals")
        assert archive.count() == 9
        assert results_kept(script) == 9
        assert script.stop() == 143
        archive.stop(signal.SIGKILL)
        archive.start()
        switch.write_text("123")
        script.start()
        wait_for(lambda: "1 of 5 images were not taken" in script.said(), "the refusal of one image")
        assert results_kept(script) >= 5
        switch.unlink()
        wait_for(script.is_done, "the end of the work")
    finally:
        script.kill()
    assert archive.count() == 18
    for study, description, count in ((11, "one", 4), (12, "two", 5)):
        series = archive.series_of(f"2.25.{study}")
        assert len(series[f"{description} LDCTDenoise"]["Instances"]) == count
    said = script.said()
    assert said.count("denoised,") == 2
    assert "next try in 10 s" in said
    assert "next try in 20 s" in said
    assert "given up" not in said
    assert MARKER not in said
    assert "Traceback" not in said


def test_a_full_disk_is_waited_for(own_archive: Callable[..., Archive], tiny_model: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    try:
        archive = own_archive({"StorageDirectory": str(disk)})
        archive.send(ct(21, "good", 8))
        free = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(bytes(free - 40_000))  # room for some of the result
        script = Script(archive, tmp_path / "state", tiny_model)
        script.start()
        try:
            wait_for(lambda: "of 8 images were not taken" in script.said(), "a refusal")
            assert 8 <= archive.count() < 16
            assert results_kept(script) == 8
            (disk / "filler").unlink()
            wait_for(script.is_done, "the end of the work")
        finally:
            script.kill()
        assert archive.count() == 16
        assert len(archive.series_of("2.25.21")["good LDCTDenoise"]["Instances"]) == 8
        archive.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_wrong_password_is_told(archive: Archive, tiny_model: Path, tmp_path: Path) -> None:
    script = Script(archive, tmp_path / "state", tiny_model)
    wrong = tmp_path / "credentials.json"
    wrong.write_text(json.dumps({"RegisteredUsers": {"recipe": "wrong"}}))
    script._options = ("--credentials", wrong)
    script.start()
    assert script.ends() == 1
    assert "status 401; check the credentials" in script.said()
    assert "Traceback" not in script.said()


@contextmanager
def https_before(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """A port that speaks TLS before another that does not; the Orthanc of Debian 12 crashes when it does so itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    class Pass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as secured,
                socket.create_connection(("127.0.0.1", port)) as plain,
            ):
                back = threading.Thread(target=copy, args=(plain, secured))
                back.start()
                copy(secured, plain)
                back.join()

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                target.sendall(block)
            target.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pass) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_https_with_its_own_certificate(archive: Archive, tiny_model: Path, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate]
    command += ["-days", "2", "-subj", "/CN=archive", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    before = archive.count()
    archive.send(ct(31, "good", 3))
    with https_before(archive.port, certificate, key) as port:
        url = f"https://127.0.0.1:{port}"
        stranger = Script(archive, tmp_path / "stranger", tiny_model, "--url", url)
        stranger.start()
        assert stranger.ends() == 1
        assert "is not trusted; give the file of its own with --ca" in stranger.said()
        script = Script(archive, tmp_path / "state", tiny_model, "--url", url, "--ca", certificate)
        script.start()
        try:
            wait_for(lambda: "good LDCTDenoise" in archive.series_of("2.25.31") and script.is_done(), "the end of the work")
        finally:
            script.kill()
    assert archive.count() >= before + 6
    assert len(archive.series_of("2.25.31")["good LDCTDenoise"]["Instances"]) == 3
