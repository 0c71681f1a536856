"""What a batch's folder holds, by the records of all runs and shards: done, failed, missing, unexpected."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ...errors import InputError, counted
from ...system.work_folder import is_work_folder
from .items import Item
from .records import FOLDER, Record, Records
from .sources import ListSource, noted_sources


class State(StrEnum):
    """How an output stands."""

    DONE = "done"
    FAILED = "failed"
    MISSING = "missing"
    UNEXPECTED = "unexpected"


@dataclass(frozen=True)
class Finding:
    """An output, or what lies among the outputs.

    Attributes:
        output: relative to the batch's folder.
        state: how it stands.
        reason: why it is not done, as a sentence.
        item: what it is made of; None for what is not expected.
        record: of an output that is done.
        source: the list that names it.
    """

    output: Path
    state: State
    reason: str = ""
    item: Item | None = None
    record: Record | None = None
    source: ListSource | None = None


@dataclass
class Totals:
    """Sums over what is done.

    Attributes:
        counts: of findings, by state.
        slices: that were denoised.
        seconds: that workers spent on them.
    """

    counts: Counter[State]
    slices: int = 0
    seconds: float = 0.0

    @classmethod
    def none(cls) -> Totals:
        """Before the first."""
        return cls(Counter(dict.fromkeys(State, 0)))

    def add(self, finding: Finding) -> None:
        """Count a finding."""
        self.counts[finding.state] += 1
        if finding.record is not None:
            self.slices += finding.record.slices
            self.seconds += finding.record.seconds


def findings(folder: Path) -> Iterator[Finding]:
    """How each output of the lists stands that were denoised into a folder, then what else lies there.

    The lists are read as they are now: what was added to a source since is missing.

    Raises:
        InputError: no batch wrote there, or a list is gone.
    """
    sources = list(noted_sources(folder))
    if not sources:
        raise InputError(f"{folder} holds no records of a batch; give the DST of ldctdenoise batch.")
    records = Records(folder, lambda path: False)
    expected: set[Path] = set()
    for source in sources:
        for item in source.items(folder):
            if item.output not in expected:
                expected.add(item.output)
                yield from _look_at(item, source, folder, records)
    yield from _unexpected(folder, expected)


def _look_at(item: Item, source: ListSource, folder: Path, records: Records) -> Iterator[Finding]:
    output, failure, record = item.output, records.failure(item.output), records.read(item.output)
    if item.problem or failure is not None:
        yield Finding(output, State.FAILED, item.problem or (failure.reason if failure else ""), item, source=source)
    elif record is None or not record.output:
        yield Finding(output, State.MISSING, "not begun" if record is None else "begun and not finished", item, source=source)
    else:
        # What a server holds is known when it is stored, by its answer.
        there = set(_files_of(folder / output)) if item.server is None else set(record.files)
        lost = record.files.keys() - there
        if lost:
            reason = f"gone: {len(lost)} of its {counted(len(record.files), 'file')}"
            yield Finding(output, State.MISSING, reason, item, source=source)
        else:
            yield Finding(output, State.DONE, "", item, record, source)
        for name in sorted(there - record.files.keys()):
            yield Finding(output / name, State.UNEXPECTED, "no batch wrote it")


def _files_of(place: Path) -> Iterator[str]:
    if place.is_dir():
        yield from (path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir())
    elif place.exists():
        yield ""


def _unexpected(folder: Path, expected: set[Path]) -> Iterator[Finding]:
    for place, below, names in os.walk(folder):
        inside = Path(place).relative_to(folder)
        if not inside.parts and FOLDER in below:
            below.remove(FOLDER)
        for name in sorted(below):
            if is_work_folder(Path(place, name)):
                yield Finding(inside / name, State.UNEXPECTED, "an output that is being written, or whose writer was killed")
        below[:] = sorted(name for name in below if inside / name not in expected and not is_work_folder(Path(place, name)))
        for name in sorted(names):
            if inside / name not in expected:
                yield Finding(inside / name, State.UNEXPECTED, "no batch wrote it")
