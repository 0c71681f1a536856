"""The library's worker as a QProcess of Slicer: one for all panels and scripts, started when it is first needed."""

import os
import shutil
import sys
from pathlib import Path

import qt
import slicer

import LDCTDenoiseLib
from LDCTDenoiseLib.errors import DenoisingCancelled
from LDCTDenoiseLib.worker.client import Job, WorkerClient

from .eventLoopTask import WAIT

LIBRARY_PARENT = str(Path(LDCTDenoiseLib.__file__).resolve().parent.parent)
_END_MS = 2000


def interpreter():
    """Slicer's Python outside the application; in tests, which have no PythonSlicer, the Python that runs them."""
    return shutil.which("PythonSlicer") or sys.executable


class QProcessTransport:
    """Pipes between a worker client and its process (see ``LDCTDenoiseLib.worker.client.Transport``)."""

    def __init__(self):
        self._client = None
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

    def start(self, client):
        self._client = client
        self._process.start(interpreter(), ["-m", "LDCTDenoiseLib.worker"])

    def write(self, data):
        self._process.write(qt.QByteArray(data))

    def kill(self):
        self._client = None
        self._process.closeWriteChannel()
        self._process.kill()
        self._process.waitForFinished(_END_MS)

    def _onOutput(self, *_):
        if self._client is not None:
            self._client.on_output(bytes(self._process.readAllStandardOutput().data()))

    def _onLog(self, *_):
        if self._client is not None:
            self._client.on_log(bytes(self._process.readAllStandardError().data()))

    def _onFinished(self, exitCode=0, *_):
        if self._client is not None:
            self._onLog()
            self._client.on_end(f"exit code {exitCode}")

    def _onError(self, *_):
        # A crash is also reported as finished; only a process that never ran is not.
        if self._client is not None and self._process.state() == qt.QProcess.NotRunning and self._client.pid is None:
            self._client.on_end(f"{Path(interpreter()).name} cannot be started: {self._process.errorString()}")


class Worker:
    """The worker and the jobs given to it, as steps of an ``EventLoopTask``.

    Attributes:
        run: the ``DenoiseRun`` that uses it now or used it last.
    """

    def __init__(self):
        self.client = WorkerClient(QProcessTransport)
        self.run = None
        slicer.app.connect("aboutToQuit()", self.shutdown)

    def do(self, request, progress=lambda done, total: None, started=lambda message: None):
        """Steps that do one job; they return what the result says.

        Raises:
            DenoisingCancelled: it was cancelled, even if the worker was faster.
            LDCTDenoiseError: what the worker or its process reports.
        """
        while self.client.busy:  # a preview, which ends soon
            self.client.tick()
            yield WAIT
        outcome = []
        failure = []
        cancelled = None
        self.client.submit(Job(request, outcome.append, failure.append, progress, started))
        try:
            while not outcome and not failure:
                self.client.tick()
                try:
                    yield WAIT
                except DenoisingCancelled as error:
                    cancelled = error
                    self.client.cancel()
        finally:
            if not outcome and not failure:  # the task was aborted
                self.client.shutdown()
        if failure:
            raise failure[0]
        if cancelled is not None:
            raise cancelled
        return {key: value for key, value in outcome[0].items() if key not in ("event", "id")}

    def shutdown(self, *_):
        """End the process with everything that it started."""
        self.client.shutdown()


_shared = None


def sharedWorker():
    """The one worker of this Slicer, with the model that it has loaded."""
    global _shared
    if _shared is None:
        _shared = Worker()
    return _shared
