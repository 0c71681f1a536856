"""The model of the time of a batch on many workers."""

from __future__ import annotations

import pytest

from benchmarks.archive_scaling import SleepingWorker, TimeModel, tiny_items

MODEL = TimeModel(read=2, compute=10, write=1, driver=0.005, start=30)


def test_computing_is_shared_and_reading_hides_behind_it() -> None:
    assert MODEL.seconds(1, 1) == 30 + 13
    assert MODEL.seconds(1001, 1) == pytest.approx(30 + 1000 * 10 + 13)
    assert MODEL.seconds(1010, 10) == pytest.approx(30 + 1000 * 1 + 13)
    assert MODEL.bottleneck(10) == "computing"


def test_the_driver_and_the_storage_are_not_shared() -> None:
    assert MODEL.bottleneck(4000) == "driver"
    assert MODEL.seconds(104_000, 4000) == pytest.approx(30 + 100_000 * 0.005 + 13)
    slow_disk = TimeModel(2, 10, 1, 0.005, storage=2)
    assert slow_disk.bottleneck(100) == "storage"
    assert slow_disk.seconds(1100, 100) == pytest.approx(1000 / 2 + 13)


def test_reading_that_takes_longer_than_computing_is_the_bound() -> None:
    model = TimeModel(read=3, compute=1, write=2, driver=0.001)
    assert model.bottleneck(10) == "reading and writing"
    assert model.seconds(1010, 10) == pytest.approx(1000 * 5 / 10 + 6)


def test_the_stand_in_does_every_item_and_stops() -> None:
    worker = SleepingWorker(3600)
    worker.stop()
    assert [worker.do(item).item.output.as_posix() for item in tiny_items(2)] == ["p000000/ct.nrrd", "p000001/ct.nrrd"]
