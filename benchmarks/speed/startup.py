"""How long command line and worker take to start, cold (nothing of the installation in the system's cache) and warm."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.worker.exchange import ExchangeFolder
from LDCTDenoiseLib.worker.messages import Denoise
from LDCTDenoiseLib.worker.protocol import LineDecoder, Message, request_line

from .methods import noisy_slices
from .rates import spread

SIDE = 512
PACKAGES = Path(torch.__file__).parent.parent


def measure(device: torch.device, repeats: int) -> dict[str, Any]:
    """Seconds: ``cold`` once and ``warm`` repeated, for each start."""
    python = [sys.executable, "-c"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "one.nrrd"
        sitk.WriteImage(sitk.GetImageFromArray(noisy_slices(1, SIDE)), str(source))
        command = [sys.executable, "-m", "LDCTDenoiseLib"]
        denoise = [*command, "denoise", str(source), str(Path(folder) / "out.nrrd"), "--overwrite", "--quiet"]
        starts = {
            "python": [*python, "pass"],
            "import torch": [*python, "import torch"],
            "ldctdenoise --help": [*command, "--help"],
            "ldctdenoise models": [*command, "models"],
            "ldctdenoise denoise, one slice, torch": [*denoise, "--device", str(device), "--backend", "torch"],
            "ldctdenoise denoise, one slice": [*denoise, "--device", str(device)],
        }
        found = {name: _cold_and_warm(lambda run=run: _seconds(run), repeats) for name, run in starts.items()}
    for name, tell in (("worker: first word", _until_hello), ("worker: first slice denoised", until_denoised)):
        found[name] = _cold_and_warm(lambda tell=tell: tell(str(device)), repeats)
    found["worker: next slice"] = _cold_and_warm(lambda: until_denoised(str(device), warm_up=True), repeats)
    return found


def _cold_and_warm(run: Callable[[], float], repeats: int) -> dict[str, Any]:
    _forget_files()
    return {"cold": run(), "warm": spread([run() for _ in range(repeats)])}


def _forget_files() -> None:
    """Ask the system to drop the installation's files from its cache; those that another process has mapped stay."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in _code():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@cache
def _code() -> list[Path]:
    return [path for path in PACKAGES.rglob("*") if (".so" in path.suffixes or path.suffix == ".pyc") and path.is_file()]


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def _until_hello(device: str) -> float:
    start = time.perf_counter()
    with _Worker() as worker:
        next(worker.events)
        return time.perf_counter() - start


def until_denoised(device: str, *, warm_up: bool = False, python: str = sys.executable) -> float:
    """Seconds from the start of a worker to its first result; with ``warm_up`` those of a second request."""
    volume = noisy_slices(1, SIDE)
    exchange = ExchangeFolder()
    arrays = {name: exchange.allocate(name, volume.shape, volume.dtype) for name in ("volume", "output")}
    arrays["volume"].map("r+")[:] = volume
    options = DenoisingOptions(device=device)
    request = Denoise(exchange.path, arrays["volume"], arrays["output"], (1.0, 1.0), options, force=True)
    try:
        start = time.perf_counter()
        with _Worker(python) as worker:
            next(worker.events)
            for number in range(1 + warm_up):
                if number:
                    start = time.perf_counter()
                worker.send(request_line(request, number))
                while (event := next(worker.events))["event"] != "result":
                    if event["event"] == "error":
                        raise RuntimeError(event["message"])
            assert not np.array_equal(arrays["output"].map(), volume), "nothing was denoised"
            return time.perf_counter() - start
    finally:
        exchange.remove()


class _Worker:
    """A worker process, spoken to as its protocol says."""

    def __init__(self, python: str = sys.executable) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "LDCTDenoiseLib.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.events = self._read()

    def _read(self) -> Iterator[Message]:
        decoder = LineDecoder()
        assert self._process.stdout is not None
        while data := self._process.stdout.read1(65536):  # type: ignore[attr-defined]
            yield from decoder.feed(data)

    def send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()  # the end of its input ends it
        self._process.wait()
