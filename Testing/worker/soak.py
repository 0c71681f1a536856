"""Soak: series after series in one worker, with memory and file handles watched. ``make soak MINUTES=30``.

Every series is written as DICOM, read, handed to the worker through an exchange folder, denoised by the shipped model, and
written as a derived series: what a workday of a panel or an archive's script does. Linux only, which tells the figures.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.dicom.write_series import write_derived_series
from LDCTDenoiseLib.worker.exchange import ExchangeFolder
from Testing.dicom.dicom_files import make_slice, save
from Testing.worker.worker_process import WorkerSession, denoise_request, output_of

SHAPES = ((4, 256, 256), (3, 320, 256), (6, 192, 192))
WARM_UP = 0.25
"""Share of the time in which caches may fill."""
MEMORY_GROWTH = 0.05
"""Share by which the median of the last third may exceed that of the first third, after the warm-up."""


@dataclass(frozen=True)
class Sample:
    """A process at a moment: resident memory in bytes, open files."""

    memory: int
    files: int


def sample(pid: int) -> Sample:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return Sample(pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{pid}/fd").iterdir())))


def write_source(folder: Path, number: int) -> None:
    """A noisy disc in air, other noise and another matrix every time."""
    slices, rows, columns = SHAPES[number % len(SHAPES)]
    row, column = np.ogrid[:rows, :columns]
    inside = (row - rows / 2) ** 2 + (column - columns / 2) ** 2 < (min(rows, columns) * 0.4) ** 2
    noise = np.random.default_rng(number).normal(0, 20, (slices, rows, columns))
    stored = np.rint(np.where(inside, 1064, 24) + noise).clip(0).astype(np.uint16)
    for index, one in enumerate(stored):
        save(make_slice(index, stored=one), folder / f"{index}.dcm")


def denoise_series(session: WorkerSession, folder: Path) -> None:
    """Read a series, denoise it in the worker, write the derived one."""
    series = read_ct_series(folder / "in")
    exchange = ExchangeFolder(folder)
    try:
        request = denoise_request(exchange, series.hu, "default", compare=True)
        answer = session.run(request)
        denoised = output_of(request)
    finally:
        exchange.remove()
    if not np.abs(denoised.astype(int) - series.hu).any():
        raise RuntimeError("the worker changed nothing")
    write_derived_series(series, denoised, folder / "out", answer.made)


def soak(minutes: float) -> list[dict[str, Sample]]:
    """Denoise series for some minutes; a sample of the worker and of this process after each."""
    session = WorkerSession()
    samples: list[dict[str, Sample]] = []
    start = told = time.monotonic()
    try:
        while time.monotonic() - start < minutes * 60:
            with tempfile.TemporaryDirectory(prefix="ldctdenoise-soak-") as name:
                write_source(Path(name) / "in", len(samples))
                denoise_series(session, Path(name))
            if len(session.transports) != 1 or session.client.pid is None:
                raise RuntimeError("the worker did not live through")
            samples.append({"worker": sample(session.client.pid), "client": sample(os.getpid())})
            if time.monotonic() - told > 60:
                told = time.monotonic()
                print(f"{(told - start) / 60:5.1f} min, {len(samples)} series: {describe(samples[-1])}", flush=True)
    finally:
        session.client.shutdown()
    return samples


def describe(one: dict[str, Sample]) -> str:
    return "; ".join(f"{name} {sample.memory / 2**20:.0f} MiB, {sample.files} files" for name, sample in one.items())


def judge(samples: list[dict[str, Sample]]) -> bool:
    """Print first and last third after the warm-up; whether both processes stayed flat."""
    warm = samples[int(len(samples) * WARM_UP) :]
    third = len(warm) // 3
    if not third:
        print(f"{len(samples)} series are too few to judge; give it more minutes.")
        return False
    flat = True
    for name in ("worker", "client"):
        first, last = (
            Sample(int(median(one[name].memory for one in part)), max(one[name].files for one in part))
            for part in (warm[:third], warm[-third:])
        )
        grown = last.memory > first.memory * (1 + MEMORY_GROWTH) or last.files > first.files
        flat &= not grown
        growth = last.memory / first.memory - 1
        print(
            f"{name}: memory {first.memory / 2**20:.0f} -> {last.memory / 2**20:.0f} MiB ({growth:+.1%}), "
            f"files {first.files} -> {last.files}: {'GREW' if grown else 'flat'}"
        )
    return flat


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    if shutil.disk_usage(tempfile.gettempdir()).free < 2**28:
        print("Too little space in the temporary folder.")
        return 1
    samples = soak(minutes)
    print(f"{len(samples)} series in {minutes:g} minutes, one worker.")
    return 0 if judge(samples) else 1


if __name__ == "__main__":
    sys.exit(main())
