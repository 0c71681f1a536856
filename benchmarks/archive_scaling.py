"""How a batch scales over workers of Ray: a model of the time, and a measurement with workers that sleep instead of computing.

``python -m benchmarks.archive_scaling`` starts Ray on this machine with 1, 2, 4, 8 and 16 workers that sleep, and prints what the
driver needs for an item, its memory, and the efficiency, beside the model's. Sleeping workers need no core, so that a small
machine tells how the driver would serve many. ``--series PATH`` measures the parts of one series on this machine instead,
``--rates READ COMPUTE WRITE`` takes them as given, in seconds; and both print what the model makes of them for an archive.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from LDCTDenoiseLib.denoising.batch.attempt import Outcome
from LDCTDenoiseLib.denoising.batch.items import Item, files_of_source
from LDCTDenoiseLib.denoising.batch.one_item import Status
from LDCTDenoiseLib.denoising.batch.ray_engine import RayEngine, WorkerNeeds
from LDCTDenoiseLib.denoising.batch.records import content_hash, hash_of_output
from LDCTDenoiseLib.denoising.one_file import FileOptions, Input, Source, denoise_file, read_input
from LDCTDenoiseLib.inference.engine import Denoiser

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


def measure_parts(source: Path, driver: float) -> TimeModel:
    """Read, denoise and write a series as a batch does, and take the times."""
    files = files_of_source(source)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "out.nrrd" if source.is_file() else "out")
        denoiser = Denoiser(device="auto", threads=1)
        reading = 0.0

        def read(one: Source, place: Path, options: FileOptions) -> Input:
            nonlocal reading
            begin = time.perf_counter()
            scan = read_input(one, place, options)
            reading = time.perf_counter() - begin
            return scan

        begin = time.perf_counter()
        content_hash(files)
        hashing = time.perf_counter() - begin
        begin = time.perf_counter()
        done = denoise_file(source, target, denoiser, read=read)
        rest = time.perf_counter() - begin - reading - done.seconds
        begin = time.perf_counter()
        hash_of_output(target)
        writing = rest + time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{source.name}: {done.slices} slices on {done.made.device}, 1 thread; {peak:.0f} MiB at most")
    return TimeModel(hashing + reading, done.seconds, writing, driver)


def print_plan(model: TimeModel, series: int, nodes: int, workers_each: int) -> None:
    workers = nodes * workers_each
    hours = model.seconds(series, workers) / 3600
    print(f"a series: read {model.read:.2f} s, compute {model.compute:.2f} s, write {model.write:.2f} s")
    print(f"a worker: {3600 / max(model.compute, model.read + model.write):.0f} series an hour")
    print(
        f"{series} series on {nodes} machines of {workers_each} workers: {hours:.1f} hours; bound by {model.bottleneck(workers)}"
    )
    print(f"the driver is the bound from {max(model.compute, model.read + model.write) / model.driver:.0f} workers on")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=ITEMS, help=f"tiny items for the overhead (default {ITEMS})")
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--series", type=Path, help="measure the parts of this series instead")
    parser.add_argument("--rates", type=float, nargs=3, metavar=("READ", "COMPUTE", "WRITE"), help="or take these, seconds")
    parser.add_argument("--driver-ms", type=float, default=2.0, help="for these: the driver's time for an item (default 2)")
    parser.add_argument("--archive", type=int, default=100_000, help="for these: how many there are (default 100000)")
    parser.add_argument("--nodes", type=int, default=20, help="for these: machines (default 20)")
    parser.add_argument("--workers-each", type=int, default=1, help="for these: workers on each (default 1)")
    options = parser.parse_args()
    if options.series or options.rates:
        driver = options.driver_ms / 1000
        model = measure_parts(options.series, driver) if options.series else TimeModel(*options.rates, driver)
        print_plan(model, options.archive, options.nodes, options.workers_each)
        return
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    rows = []
    print("| workers | items | driver, ms an item | its CPU, ms an item | it grew by, MiB | efficiency, 1 s of sleep | model |")
    print("|---|---|---|---|---|---|---|")
    for workers in options.workers:
        tiny = measure(workers, options.items, 0)
        slow = measure(workers, ITEMS_EACH * workers, SLEEP_SECONDS)
        driver = tiny.seconds / tiny.items
        begun = slow.items - (workers - 1)  # what others had begun before is not counted
        model = TimeModel(0, SLEEP_SECONDS, 0, driver).seconds(begun, workers)
        ideal = begun * SLEEP_SECONDS / workers
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
