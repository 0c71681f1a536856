"""The worker driven by a plain subprocess, for tests without Slicer, and what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from LDCTDenoiseLib.errors import LDCTDenoiseError
from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.worker.client import Job, WorkerClient
from LDCTDenoiseLib.worker.exchange import ExchangeFolder, SharedArray, copy_in_chunks
from LDCTDenoiseLib.worker.messages import Answer, Denoise, Request
from Testing.conftest import REPOSITORY

SPACING = (0.7, 0.7)


class SubprocessTransport:
    """Threads read the pipes; :meth:`pump` hands on what they read, in the caller's thread, as an event loop would."""

    def __init__(self, arguments: list[str] | None = None, environment: dict[str, str] | None = None) -> None:
        self._arguments = arguments or [sys.executable, "-m", "LDCTDenoiseLib.worker"]
        self._environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})}
        self._said: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, client: WorkerClient) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(self._arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=self._environment)
        self._threads = [
            threading.Thread(target=self._read, args=(self.process.stdout, client.on_output), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, client.on_log), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._wait, args=(client,), daemon=True).start()

    def _read(self, stream: Any, hand_on: Callable[[bytes], None]) -> None:
        while data := stream.read1(65536):
            self._said.put(lambda data=data: hand_on(data))

    def _wait(self, client: WorkerClient) -> None:
        code = self.process.wait()
        for thread in self._threads:
            thread.join()
        self._said.put(lambda: client.on_end(f"exit code {code}"))

    def write(self, data: bytes) -> None:
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is reported by the waiting thread

    def kill(self) -> None:
        self._said = SimpleQueue()
        self.process.kill()
        self.process.wait()

    def pump(self) -> None:
        """Hand on everything that the process said so far."""
        said = self._said
        while said is self._said:  # killed while it is handed on: the rest is not of interest
            try:
                said.get_nowait()()
            except Empty:
                return


class WorkerSession:
    """A client with its transports, and the loop that a window would run."""

    def __init__(self, arguments: list[str] | None = None, environment: dict[str, str] | None = None, **limits: float) -> None:
        self.transports: list[SubprocessTransport] = []

        def make() -> SubprocessTransport:
            self.transports.append(SubprocessTransport(arguments, environment))
            return self.transports[-1]

        self.client = WorkerClient(make, **limits)

    def pump(self) -> None:
        if self.transports:
            self.transports[-1].pump()
        self.client.tick()

    def run(self, request: Request, progress: Callable[[int, int], object] = lambda done, total: None) -> Any:
        """Do a job and return its answer, or raise its error."""
        outcome: list[Answer | LDCTDenoiseError] = []
        self.client.submit(Job(request, outcome.append, outcome.append, progress))
        deadline = time.monotonic() + 120
        while not outcome:
            assert time.monotonic() < deadline, "the worker neither answered nor failed"
            self.pump()
            time.sleep(0.005)
        if isinstance(outcome[0], LDCTDenoiseError):
            raise outcome[0]
        return outcome[0]


def share(folder: ExchangeFolder, name: str, voxels: np.ndarray) -> SharedArray:
    array = folder.allocate(name, voxels.shape, voxels.dtype)
    for _ in copy_in_chunks(voxels, array.map("r+")):
        pass
    return array


def denoise_request(folder: ExchangeFolder, voxels: np.ndarray, model: str | Path, **changes: Any) -> Denoise:
    """A request to denoise on the CPU, its volume and room for its output in the exchange folder.

    Args:
        changes: options, and fields of the request.
    """
    names = {one.name for one in fields(DenoisingOptions)} & set(changes)
    options = DenoisingOptions(model=str(model), device="cpu")
    return Denoise(
        folder.path,
        share(folder, "volume", voxels),
        folder.allocate("output", voxels.shape, np.int16 if voxels.dtype == np.int16 else np.float32),
        SPACING,
        replace(options, **{name: changes.pop(name) for name in names}),
        **changes,
    )


def output_of(request: Denoise) -> np.ndarray:
    return np.array(request.output.map())
