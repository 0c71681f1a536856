"""``batch --shard``: every item in exactly one shard, and shards at once in one folder."""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from LDCTDenoiseLib.commands.command_line import main
from LDCTDenoiseLib.commands.options import shard
from LDCTDenoiseLib.denoising.batch.alone import alone, at_work, await_workers
from LDCTDenoiseLib.denoising.batch.items import Shard, find_items
from LDCTDenoiseLib.denoising.batch.records import FOLDER
from LDCTDenoiseLib.errors import InputError, OutputError
from LDCTDenoiseLib.system.locks import try_lock
from Testing.conftest import REPOSITORY


@given(st.integers(1, 50), st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1), min_size=1))
def test_every_item_is_in_exactly_one_shard(count: int, names: list[str]) -> None:
    shards = [Shard(number, count) for number in range(count)]
    for name in names:
        assert sum(one.holds(Path("folder", name)) for one in shards) == 1


def test_the_shard_of_a_name_is_the_same_for_ever() -> None:
    assert [Shard(0, 4).holds(Path(name)) for name in ("a.nrrd", "deep/b.nii.gz", "c")] == [False, True, False]


def test_shards_are_about_equal() -> None:
    counts = Counter(next(n for n in range(8) if Shard(n, 8).holds(Path(f"patient{i:05d}/ct"))) for i in range(8000))
    assert min(counts.values()) > 850
    assert max(counts.values()) < 1150


def csv_of(folder: Path, rows: list[str]) -> Path:
    (folder / "in.nrrd").write_bytes(b"any")
    path = folder / "rows.csv"
    path.write_text("input,output\n" + "".join(f"in.nrrd,{row}\n" for row in rows))
    return path


def test_the_shards_of_a_list_are_the_list(tmp_path: Path) -> None:
    rows = csv_of(tmp_path, [f"{number % 7}/{number}.nrrd" for number in range(300)])
    whole = [item.output for item in find_items(rows, tmp_path / "dst")]
    parts = [find_items(rows, tmp_path / "dst", shard=Shard(number, 4)) for number in range(4)]
    assert sum(map(len, parts)) == len(whole) == 300
    assert sorted(item.output for part in parts for item in part) == sorted(whole)
    assert all(len(part) == len(list(part)) for part in parts)


def test_clashes_are_seen_across_shards(tmp_path: Path) -> None:
    rows = csv_of(tmp_path, ["a.nrrd", "b.nrrd", "a.nrrd", "c.nrrd", "c.nrrd/d.nrrd"])
    problems = {
        (str(item.output), item.problem.partition(",")[0])
        for number in range(5)
        for item in find_items(rows, tmp_path / "dst", shard=Shard(number, 5))
    }
    same, within = "Another input has the same output", "Another output would lie within this one"
    assert problems == {("a.nrrd", same), ("b.nrrd", ""), ("c.nrrd", within), ("c.nrrd/d.nrrd", "")}


MEMORY_OF_A_LIST = """
import sys, tracemalloc
from itertools import islice
from pathlib import Path
from LDCTDenoiseLib.denoising.batch.items import find_items

rows, out = map(Path, sys.argv[1:])
next(iter(find_items(rows, out)))  # what is imported meanwhile is no part of the list
tracemalloc.start()
items = find_items(rows, out)
assert len(list(islice(items, 1000))) == 1000
print(len(items), tracemalloc.get_traced_memory()[1])
"""


# In a process of its own: threads that earlier tests left may allocate meanwhile.
def test_a_long_list_takes_little_memory(tmp_path: Path) -> None:
    rows = csv_of(tmp_path, [f"p{number}/ct.nrrd" for number in range(5000)])
    command = [sys.executable, "-c", MEMORY_OF_A_LIST, str(rows), str(tmp_path / "dst")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    count, most = map(int, done.stdout.split())
    assert count == 5000
    assert most / count < 200  # bytes; an item alone has 1000


@pytest.mark.parametrize("text", ["4/4", "1", "-1/4", "a/b", "1/0", "1/4/5", ""])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="counted from 0"):
        shard(text)


def test_shards_work_in_one_folder_and_keep_others_out(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    with alone(tmp_path, Shard(0, 2)):
        with alone(tmp_path, Shard(1, 2)):
            pass
        with pytest.raises(OutputError, match="Shard 0/2 is at work"), alone(tmp_path, Shard(0, 2)):
            pass
        with pytest.raises(OutputError, match="Another batch is writing"), alone(tmp_path):
            pass
    with alone(tmp_path), pytest.raises(OutputError, match="Another batch is writing"), alone(tmp_path, Shard(0, 2)):
        pass


def test_shards_keep_others_out_where_a_shared_lock_asks_for_a_file_open_for_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Linux does for NFSv4, which has no lock that looks at the file and not at how it was opened."""
    fcntl = pytest.importorskip("fcntl", reason="Windows has no such locks")
    lock = fcntl.flock

    def flock(handle: int, how: int) -> None:
        if how & fcntl.LOCK_SH and fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
            raise OSError(errno.EBADF, "not open for reading")
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with alone(tmp_path, Shard(0, 2)), pytest.raises(OutputError, match="Another batch is writing"), alone(tmp_path):
        pass
    with at_work(tmp_path), pytest.raises(OutputError, match="Workers of an earlier batch"):
        await_workers(tmp_path, seconds=0.3)


def test_shards_of_another_number_are_kept_out(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    with alone(tmp_path, Shard(0, 2)), pytest.raises(OutputError, match="of another N than 3"), alone(tmp_path, Shard(0, 3)):
        pass
    left = tmp_path / FOLDER / "shard-0-of-2.lock"
    with left.open() as looked_at, alone(tmp_path, Shard(0, 3)), alone(tmp_path, Shard(1, 3)):
        try_lock(looked_at.fileno(), shared=True)  # as a third shard does, at this moment
        with alone(tmp_path, Shard(2, 3)):
            pass


@pytest.mark.parametrize("orphan", [None, Shard(0, 2), Shard(1, 3)])
@pytest.mark.parametrize("driver", [None, Shard(0, 2)])
def test_a_driver_waits_for_orphans_that_may_have_its_items(tmp_path: Path, orphan: Shard | None, driver: Shard | None) -> None:
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    with at_work(tmp_path, orphan), pytest.raises(OutputError, match="Workers of an earlier batch"):
        await_workers(tmp_path, driver, seconds=0.3)
    await_workers(tmp_path, driver, seconds=0.3)


def test_a_batch_without_a_cluster_waits_for_orphans_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    monkeypatch.setattr("LDCTDenoiseLib.denoising.batch.alone.await_workers", partial(await_workers, seconds=0.3))
    with at_work(tmp_path / "dst", Shard(0, 2)):
        assert main(["batch", str(csv_of(tmp_path, ["a.nrrd"])), str(tmp_path / "dst"), "--device", "cpu", "--quiet"]) == 1
    assert "Workers of an earlier batch still write" in capsys.readouterr().err


def test_a_driver_does_not_wait_for_other_shards(tmp_path: Path) -> None:
    with at_work(tmp_path, Shard(1, 2)):
        await_workers(tmp_path, Shard(0, 2), seconds=0.3)


def test_a_driver_waits_for_the_workers_of_one_that_was_killed(tmp_path: Path) -> None:
    pytest.importorskip("fcntl", reason="Windows has no such locks")
    with at_work(tmp_path), at_work(tmp_path), pytest.raises(OutputError, match="Workers of an earlier batch"):
        await_workers(tmp_path, seconds=0.3)
    await_workers(tmp_path, seconds=0.3)


def test_an_empty_list_is_refused_and_an_empty_shard_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="holds no CT series"):
        find_items(csv_of(tmp_path, []), tmp_path / "dst")
    rows = csv_of(tmp_path, ["a.nrrd"])
    empty = next(number for number in range(2) if not Shard(number, 2).holds(Path("a.nrrd")))
    assert main(["batch", str(rows), str(tmp_path / "dst"), "--dry-run", "--shard", f"{empty}/2"]) == 0
    assert capsys.readouterr().out == "Nothing to do in this shard.\n"
