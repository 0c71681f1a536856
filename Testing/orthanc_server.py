"""An Orthanc with its DICOMweb plugin for tests: Debian packages orthanc and orthanc-dicomweb."""

from __future__ import annotations

import base64
import email
import io
import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import PatientRootQueryRetrieveInformationModelGet as Get

from Testing.conftest import REPOSITORY
from Testing.dicom.dicom_files import make_slice

EXAMPLE = REPOSITORY / "examples" / "orthanc"
ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
MARKER = "ZEBRAFISH"
"""In what tells of the patient."""
PASSWORD = "of-this-test"
DEADLINE_SECONDS = 120


class Archive:
    """An Orthanc with the example's configuration, on ports and in a folder of its own."""

    def __init__(self, folder: Path, options: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.port, self.dicom_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.credentials = folder / "credentials.json"
        configuration = json.loads((EXAMPLE / "orthanc.json").read_text(encoding="utf-8"))
        configuration |= {"HttpPort": self.port, "DicomPort": self.dicom_port, "StableAge": 2}
        configuration |= options or {}
        configuration["Plugins"] = [path for path in configuration["Plugins"] if Path(path).is_dir()]
        (folder / "orthanc.json").write_text(json.dumps(configuration), encoding="utf-8")
        self.credentials.write_text(json.dumps({"RegisteredUsers": {"recipe": PASSWORD}}), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert ORTHANC
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen([ORTHANC, self.folder], stdout=log, stderr=log, cwd=self.folder)
        wait_for(self.answers, "Orthanc to answer")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "orthanc.log").read_text(encoding="utf-8")[-3000:]
        try:
            return bool(self.get("/system"))
        except (OSError, ValueError):
            return False

    def get(self, path: str) -> Any:
        return json.loads(self._ask(path, "application/json")[0])

    def _ask(self, path: str, accept: str, method: str = "GET") -> tuple[bytes, str]:
        """The answer and its type."""
        token = base64.b64encode(f"recipe:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Basic {token}", "Accept": accept}, method=method
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.read(), answer.headers["Content-Type"]

    def delete(self, image: str) -> None:
        """Remove an image, by Orthanc's identifier."""
        self._ask(f"/instances/{image}", "application/json", "DELETE")

    def count(self) -> int:
        return int(self.get("/statistics")["CountInstances"])

    def series_of(self, study: str) -> dict[str, dict[str, Any]]:
        """The series of a study by their descriptions; two of one description fail."""
        found = [
            one
            for one in self.get("/series?expand")
            if self.get(f"/studies/{one['ParentStudy']}")["MainDicomTags"]["StudyInstanceUID"] == study
        ]
        by_description = {one["MainDicomTags"]["SeriesDescription"]: one for one in found}
        assert len(by_description) == len(found), "a series is there twice"
        return by_description

    def send(self, slices: list[Dataset]) -> None:
        """By C-STORE."""
        entity = AE("SENDER")
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", self.dicom_port, ae_title="ORTHANC")
        assert association.is_established
        try:
            assert [association.send_c_store(one).Status for one in slices] == [0] * len(slices)
        finally:
            association.release()

    def fetch(self, patient: str, study: str, series: str) -> list[Dataset]:
        """By C-GET, whose images come by C-STORE; sorted by place."""
        fetched: list[Dataset] = []

        def keep(event: evt.Event) -> int:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            fetched.append(dataset)
            return 0

        entity = AE("SENDER")
        entity.add_requested_context(Get)
        entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        association = entity.associate(
            "127.0.0.1",
            self.dicom_port,
            ae_title="ORTHANC",
            ext_neg=[build_role(CTImageStorage, scp_role=True)],
            evt_handlers=[(evt.EVT_C_STORE, keep)],
        )
        assert association.is_established
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "SERIES"
        wanted.PatientID, wanted.StudyInstanceUID, wanted.SeriesInstanceUID = patient, study, series
        try:
            assert [status.Status for status, _ in association.send_c_get(wanted, Get)][-1] == 0
        finally:
            association.release()
        return sorted(fetched, key=place)

    def fetch_web(self, study: str, series: str) -> list[Dataset]:
        """By DICOMweb's WADO-RS; sorted by place."""
        answer, kind = self._ask(f"/dicom-web/studies/{study}/series/{series}", 'multipart/related; type="application/dicom"')
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + answer)
        parts = [part.get_payload(decode=True) for part in message.get_payload()]
        return sorted((pydicom.dcmread(io.BytesIO(part)) for part in parts), key=place)


@contextmanager
def running_archive(folder: Path) -> Iterator[Archive]:
    """An archive that runs, and ends with its test."""
    one = Archive(folder)
    try:
        one.start()
        yield one
    finally:
        one.stop(signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def wait_for(condition: Callable[[], Any], what: str, pause: float = 0.2) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited too long for {what}"
        time.sleep(pause)


def place(dataset: Dataset) -> float:
    return float(dataset.ImagePositionPatient[2])


def ct(study: int, description: str, count: int, tags: dict[str, object] | None = None) -> list[Dataset]:
    """A noisy disk of water, count slices; study and series have the numbers as UIDs."""
    across = np.linspace(-1, 1, 64)
    water = np.where(across[:, None] ** 2 + across**2 < 0.8, 1024, 24)
    noise = np.random.default_rng(study)
    slices = []
    for number in range(count):
        stored = (water + noise.normal(0, 20, water.shape)).clip(0).astype(np.uint16)
        uids = {"StudyInstanceUID": f"2.25.{study}", "SeriesInstanceUID": f"2.25.{study}.{len(description)}"}
        uids["SOPInstanceUID"] = f"{uids['SeriesInstanceUID']}.{number + 1}"
        usual = {"PatientID": f"{MARKER}{study}", "PatientName": f"{MARKER}^{study}", "SeriesDescription": description}
        slices.append(make_slice(number, {**usual, **uids, **(tags or {})}, stored))
    return slices
