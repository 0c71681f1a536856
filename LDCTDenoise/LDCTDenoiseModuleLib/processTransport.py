"""Pipes between a worker client and its process, by Qt."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import qt

import LDCTDenoiseLib
from LDCTDenoiseLib.worker.client import WorkerClient

LIBRARY_PARENT = str(Path(LDCTDenoiseLib.__file__).resolve().parent.parent)
_END_MS = 2000


def interpreter() -> str:
    """Slicer's Python outside the application; in tests, which have no PythonSlicer, the Python that runs them."""
    return shutil.which("PythonSlicer") or sys.executable


class QProcessTransport:
    """Pipes between a worker client and its process (see ``LDCTDenoiseLib.worker.client.Transport``)."""

    def __init__(self) -> None:
        self._client: WorkerClient | None = None
        self._process = qt.QProcess()
        environment = qt.QProcessEnvironment.systemEnvironment()
        paths = [LIBRARY_PARENT, environment.value("PYTHONPATH", "")]
        environment.insert("PYTHONPATH", os.pathsep.join(path for path in paths if path))
        environment.insert("PYTHONUTF8", "1")
        self._process.setProcessEnvironment(environment)
        self._process.setWorkingDirectory(LIBRARY_PARENT)
        self._process.connect("readyReadStandardOutput()", self._onOutput)
        self._process.connect("readyReadStandardError()", self._onLog)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        self._process.connect("errorOccurred(QProcess::ProcessError)", self._onError)

    def start(self, client: WorkerClient) -> None:
        """Start the worker; the client hears what it says, and its end."""
        self._client = client
        self._process.start(interpreter(), ["-m", "LDCTDenoiseLib.worker"])

    def write(self, data: bytes) -> None:
        """Send bytes to the worker's standard input."""
        self._process.write(qt.QByteArray(data))

    def kill(self) -> None:
        """End the worker at once; the client hears nothing more."""
        self._client = None
        self._process.closeWriteChannel()
        self._process.kill()
        self._process.waitForFinished(_END_MS)

    def _onOutput(self, *_: Any) -> None:
        if self._client is not None:
            self._client.on_output(bytes(self._process.readAllStandardOutput().data()))

    def _onLog(self, *_: Any) -> None:
        if self._client is not None:
            self._client.on_log(bytes(self._process.readAllStandardError().data()))

    def _onFinished(self, exitCode: int = 0, *_: Any) -> None:
        if self._client is not None:
            self._onLog()
            self._client.on_end(f"exit code {exitCode}")

    def _onError(self, *_: Any) -> None:
        # A crash is also reported as finished; only a process that never ran is not.
        if self._client is not None and self._process.state() == qt.QProcess.NotRunning and self._client.pid is None:
            self._client.on_end(f"{Path(interpreter()).name} cannot be started: {self._process.errorString()}")
