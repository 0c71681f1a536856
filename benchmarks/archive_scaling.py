"""How a batch scales over workers of Ray: a model of the time, and a measurement with workers that sleep instead of computing.

``python -m benchmarks.archive_scaling`` starts Ray on this machine with 1, 2, 4, 8 and 16 workers that sleep, and prints what the
driver needs for an item, its memory, and the efficiency, each beside the model's. Sleeping workers need no core, so that a small
machine tells how the driver would serve many.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from LDCTDenoiseLib.denoising.batch.attempt import Outcome
from LDCTDenoiseLib.denoising.batch.items import Item
from LDCTDenoiseLib.denoising.batch.one_item import Status
from LDCTDenoiseLib.denoising.batch.ray_engine import RayEngine, WorkerNeeds

WORKERS = (1, 2, 4, 8, 16)
ITEMS = 10_000
SLEEP_SECONDS = 1.0
ITEMS_EACH = 40
"""For the efficiency: so many for each worker."""
_MIB = 2**20


@dataclass(frozen=True)
class TimeModel:
    """What bounds a batch of many series.

    Attributes:
        read: seconds of a series to be read, hashed and checked by a worker; hidden behind the computing of another one.
        compute: seconds of a series to be computed.
        write: seconds of a series to be written, synced and hashed; hidden as well.
        driver: seconds of the driver for a series: the only part that more workers do not share.
        start: seconds until the workers are ready.
        storage: series a second that the storage delivers and takes.
    """

    read: float
    compute: float
    write: float
    driver: float
    start: float = 0.0
    storage: float = float("inf")

    def seconds(self, series: int, workers: int) -> float:
        """For so many series on so many workers: the slowest of the parts that overlap, and the last series of each worker."""
        worker = max(self.compute, self.read + self.write)
        flow = max(worker / workers, self.driver, 1 / self.storage)
        return self.start + (series - workers) * flow + self.read + self.compute + self.write

    def bottleneck(self, workers: int) -> str:
        """Which part it is."""
        parts = {
            "computing": self.compute / workers,
            "reading and writing": (self.read + self.write) / workers,
            "driver": self.driver,
            "storage": 1 / self.storage,
        }
        return max(parts, key=lambda name: parts[name])


class SleepingWorker:
    """In the place of one that denoises."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def do(self, item: Item) -> Outcome:
        """Sleep."""
        if self._seconds:
            time.sleep(self._seconds)
        return Outcome(item, Status.DENOISED, slices=1)

    def stop(self) -> None:
        """Sleep no more."""
        self._seconds = 0

    def close(self) -> None:
        """Nothing is held."""


def tiny_items(count: int) -> Iterator[Item]:
    return (Item(Path(f"/archive/p{number:06d}/ct.nrrd"), Path(f"p{number:06d}/ct.nrrd")) for number in range(count))


@dataclass
class Measured:
    """A run, from when all workers were ready.

    Attributes:
        items: that ended since.
        seconds: until the last one.
        driver_cpu: seconds of the driver's processor.
        growth: MiB that the driver grew by at most.
    """

    items: int
    seconds: float
    driver_cpu: float
    growth: float


def measure(workers: int, items: int, sleep: float) -> Measured:
    process = psutil.Process()
    # Sleepers need no core of this machine; Ray is told that it has one for each. No second item waits in a worker.
    engine = RayEngine(partial(SleepingWorker, sleep), WorkerNeeds(0, 1, jobs=1), cores=workers)
    start = cpu = most = memory = 0.0
    before = items
    for count, outcome in enumerate(engine.run(tiny_items(items)), start=1):
        assert outcome.status is Status.DENOISED, outcome
        if before == items and (engine.workers == workers or count > items // 2):
            before, start, cpu, memory = count, time.perf_counter(), _cpu_seconds(process), process.memory_info().rss
        if count % 100 == 0:
            most = max(most, process.memory_info().rss)
        if count == items:
            end, cpu = time.perf_counter(), _cpu_seconds(process) - cpu
    return Measured(items - before, end - start, cpu, max(0.0, most - memory) / _MIB)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=ITEMS, help=f"tiny items for the overhead (default {ITEMS})")
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    rows = []
    print("| workers | items | driver, ms an item | its CPU, ms an item | it grew by, MiB | efficiency, 1 s of sleep | model |")
    print("|---|---|---|---|---|---|---|")
    for workers in options.workers:
        tiny = measure(workers, options.items, 0)
        slow = measure(workers, ITEMS_EACH * workers, SLEEP_SECONDS)
        driver = tiny.seconds / tiny.items
        model = TimeModel(0, SLEEP_SECONDS, 0, driver).seconds(slow.items, workers)
        ideal = slow.items * SLEEP_SECONDS / workers
        row = {
            "workers": workers,
            "items": options.items,
            "ms_per_item": driver * 1000,
            "driver_cpu_ms_per_item": tiny.driver_cpu / tiny.items * 1000,
            "driver_growth_mib": tiny.growth,
            "efficiency": ideal / slow.seconds,
            "efficiency_of_the_model": ideal / model,
        }
        rows.append(row)
        print("| " + " | ".join(f"{value:.4g}" for value in row.values()) + " |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
