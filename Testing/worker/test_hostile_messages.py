"""Messages that no worker and no client sends: refused, and nothing outside is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from LDCTDenoiseLib.errors import WorkerError
from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.models.provenance import Provenance
from LDCTDenoiseLib.system import process_tree
from LDCTDenoiseLib.system.process_tree import kill_tree
from LDCTDenoiseLib.worker.client import Job, JobError, WorkerClient
from LDCTDenoiseLib.worker.exchange import ExchangeFolder, SharedArray
from LDCTDenoiseLib.worker.messages import Export, Hello, Phantom, Report
from LDCTDenoiseLib.worker.protocol import (
    MAX_LINE_BYTES,
    LineDecoder,
    ProtocolError,
    decode,
    event_line,
    read_request,
    request_line,
)
from Testing.conftest import REPOSITORY
from Testing.worker.worker_process import WorkerSession

DEEP = b"[" * 100_000


class Silent:
    """A transport that starts nothing."""

    def start(self, client: WorkerClient) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass

    def kill(self) -> None:
        pass


@pytest.mark.parametrize(
    "pid",
    [0, -1, 1, -os.getpid(), os.getpid(), os.getppid(), 2**31, 2**80],
    ids=["none", "all", "init", "own group", "own", "parent", "2^31", "2^80"],  # own numbers differ between test workers
)
def test_a_worker_cannot_have_others_killed(pid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(process_tree.os, "killpg", lambda group, number: killed.append(group), raising=False)
    failures: list[Exception] = []
    client = WorkerClient(Silent)
    client.submit(Job(Report(), failures.append, failures.append))
    client.on_output(event_line(Hello("1", pid)))
    client.shutdown()
    assert killed == []
    assert isinstance(failures[0], WorkerError)
    assert f"it says to be process {pid}" in str(failures[0])
    with pytest.raises(ValueError, match="no process to kill"):
        kill_tree(pid)


def test_lines_of_a_worker_are_bounded() -> None:
    for line in (b"x" * (MAX_LINE_BYTES + 1), b'{"a":"' + b"x" * MAX_LINE_BYTES + b'"}\n'):
        with pytest.raises(ProtocolError, match="longer than"):
            LineDecoder().feed(line)


def test_an_export_of_a_very_long_series_fits_into_a_line() -> None:
    uid = "1.3.6.1.4.1.14519.5.2.1.6655.2359.207154000096236603057216610983"
    slices = 10_000
    made = Provenance("default", "0" * 64, DenoisingOptions(), (0, slices))
    request = Export(
        Path("exchange"),
        SharedArray(Path("exchange/volume"), np.dtype(np.int16), (slices, 512, 512)),
        files=tuple(Path("Пользователь", uid, uid, f"{uid}.{number}.dcm") for number in range(slices)),
        places=tuple((-249.5 + 1 / 3, -460.0 + 1 / 3, number / 3) for number in range(slices)),
        across=(1.0, 0.0, 0.0),
        down=(0.0, 1.0, 0.0),
        target=Path("folder"),
        made=made,
    )
    [message] = LineDecoder().feed(request_line(request))
    assert read_request(message) == request


def test_lists_within_lists_are_no_message() -> None:
    for line in (DEEP, b'{"a":' * 100_000, b'{"request":"report","id":' + DEEP):
        with pytest.raises(ProtocolError, match="not a message"):
            decode(line)


def worker_after(lines: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "LDCTDenoiseLib.worker"],
        input=lines,
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def test_a_request_without_end_ends_the_worker() -> None:
    ended = worker_after(b"x" * (4 * MAX_LINE_BYTES))
    assert ended.returncode == 1
    assert b"longer than" in ended.stderr


def test_a_reader_that_dies_ends_the_worker() -> None:
    code = (
        "import io, os\n"
        "from LDCTDenoiseLib.worker.serve import Server\n"
        "class Broken(io.RawIOBase):\n"
        "    def readline(self, size=-1): raise OSError('broken')\n"
        "Server(Broken(), open(os.devnull, 'wb')).run()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert ended.returncode == 1
    assert b"broken" in ended.stderr


def test_a_worker_goes_on_after_a_message_without_end_of_lists(session: WorkerSession) -> None:
    session.run(Report())
    assert session.client._transport is not None
    session.client._transport.write(DEEP + b"\n")
    pid = session.client.pid
    session.run(Report())
    assert session.client.pid == pid


@pytest.mark.parametrize("where", ["outside", "linked", "longer", "no exchange folder"])
def test_a_worker_writes_only_into_the_exchange_folder(
    session: WorkerSession, folder: ExchangeFolder, tmp_path: Path, where: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"\7" * 8192)
    output = SharedArray(precious, np.dtype(np.int16), (1, 64, 64))
    request = Phantom(folder.path, output, 0.5)
    if where == "linked":
        (folder.path / "link").symlink_to(precious)
        request = replace(request, output=replace(output, path=folder.path / "link"))
    elif where == "longer":
        request = replace(request, output=replace(folder.allocate("out", (1, 8, 8), np.dtype(np.int16)), shape=(64, 64, 64)))
    elif where == "no exchange folder":
        request = replace(request, folder=tmp_path)
    with pytest.raises(JobError, match="longer than its file" if where == "longer" else "exchange folder"):
        session.run(request)
    assert precious.read_bytes() == b"\7" * 8192
    if where == "longer":
        assert (folder.path / "out").stat().st_size == 128
