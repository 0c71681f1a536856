"""Run a batch: one item is computed while others are read and written; a failed item does not stop the rest."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path

from ...errors import Code, InputError, OutputError, as_sentence, code_of
from ...inference.engine import Denoiser
from ...models.options import Effect
from ...models.provenance import Provenance
from ...system.child import ChildCrashedError, Children
from ...system.durable import make_folders
from ...system.warnings_told import warnings_of_this_thread
from ..one_file import FileOptions, Input, Source, denoise_file, read_input
from .items import Item
from .records import Record, Records, Standing, content_hash, finished, states
from .remains import is_damaged


class Status(str, Enum):
    """How an item ended."""

    DENOISED = "denoised"
    FINISHED = "already finished"
    TO_DO = "to do"  # a dry run's
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of an item.

    Attributes:
        item: the item.
        status: how it ended.
        reason: why it failed, as a sentence.
        code: of the error, when it failed.
        slices: how many were denoised.
        seconds: from the first look at the input to the end of writing.
        warnings: what was remarkable about it.
    """

    item: Item
    status: Status
    reason: str = ""
    code: Code | None = None
    slices: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What the voxels depend on beside the input and the model file.

    Attributes:
        made: model and options; the levels are those used.
        file: how to read and write.
    """

    made: Provenance
    file: FileOptions = field(default_factory=FileOptions)

    def record(self, input_hash: str) -> Record:
        """The record of an output that is to be made."""
        options = asdict(self.file) | self.made.options.with_effect(Effect.RESULT, Effect.ROUNDING)
        del options["overwrite"]
        as_it_is_read = json.loads(json.dumps(options))
        return Record(input_hash, self.made.model_hash, as_it_is_read, self.made.software)


class Batch:
    """A batch of items with one folder for their outputs.

    Args:
        folder: where the outputs go.
        recipe: how they are made.
        denoiser: the loaded model; None only looks at what there is to do.
        readers: processes in which inputs are read: a crash there costs one input.
        jobs: how many items are at work at once: one is computed, the others are read or written.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, denoiser: Denoiser | None, readers: Children, stop: threading.Event, jobs: int = 2
    ) -> None:
        self._folder = folder
        self._recipe = recipe
        self._denoiser = denoiser
        self._jobs = jobs
        self._readers = readers
        self._stop = stop
        self._records = Records(folder, lambda path: bool(readers.call(is_damaged, path)))

    def run(self, items: list[Item], done: Callable[[Outcome], object]) -> list[Outcome]:
        """Do the items.

        Args:
            items: what there is to do.
            done: called in this thread with the outcome of every item, as they end.

        Returns:
            The outcomes, in the order of the items.
        """
        outcomes: dict[int, Outcome] = {}
        with ThreadPoolExecutor(self._jobs) as pool:
            futures = {pool.submit(self._do, item): number for number, item in enumerate(items)}
            try:
                for future in as_completed(futures):
                    outcomes[futures[future]] = future.result()
                    done(future.result())
            except BaseException:  # Ctrl-C: what computes stops at its next batch of slices, what writes ends its file
                self._stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [outcomes[number] for number in range(len(items))]

    def _do(self, item: Item) -> Outcome:
        start = time.perf_counter()
        with warnings_of_this_thread() as warnings:
            try:
                status, slices = self._denoise(item)
                outcome = Outcome(item, status, slices=slices)
            except Exception as error:  # whatever it is, the others go on
                outcome = Outcome(item, Status.FAILED, as_sentence(error), code_of(error))
        return replace(outcome, seconds=time.perf_counter() - start, warnings=tuple(warnings))

    def _denoise(self, item: Item) -> tuple[Status, int]:
        if item.problem:
            raise InputError(item.problem, item.code)
        files = item.files()
        before = states(files)
        record = self._recipe.record(content_hash(files))
        standing = self._records.standing(item.output, record)
        if standing is Standing.FINISHED:
            return Status.FINISHED, 0
        if standing in (Standing.FOREIGN, Standing.CHANGED) and not self._recipe.file.overwrite:
            raise OutputError(_REFUSED[standing].format(item.output), Code.NOT_OURS)
        if self._denoiser is None:
            return Status.TO_DO, 0
        if standing is Standing.DAMAGED:
            self._records.remove_remains(item.output)
        record = replace(record, crashes=self._crashes(item, record))
        target = self._folder / item.output
        make_folders(target.parent)
        self._records.write(item.output, record)
        options = replace(self._recipe.file, overwrite=True)
        try:
            result = denoise_file(item.source, target, self._denoiser, options, cancel=self._stop.is_set, read=self._read)
        except ChildCrashedError as crash:
            self._records.write(item.output, replace(record, crashes=record.crashes + 1))
            raise InputError(f"{crash} {item.place.name} is damaged, or the memory is short; get the file again.") from crash
        if states(files) != before:
            raise InputError(f"The files of {item.place.name} changed meanwhile; run the batch again when they are complete.")
        self._records.write(item.output, finished(record, target))
        return Status.DENOISED, result.slices

    def _read(self, source: Source, target: Path, options: FileOptions) -> Input:
        scan: Input = self._readers.call(read_input, source, target, options)
        return scan

    def _crashes(self, item: Item, record: Record) -> int:
        """How often reading this input has crashed.

        Raises:
            InputError: too often to try it again.
        """
        before = self._records.read(item.output)
        if before is None or (before.input, before.software) != (record.input, record.software):
            return 0
        if before.crashes >= _TRIES and not self._recipe.file.overwrite:
            raise InputError(
                f"Reading {item.place.name} has ended the process that read it {before.crashes} times; it is not read again "
                "unless it changes.",
                Code.CRASHES,
            )
        return before.crashes


_TRIES = 2
"""A crash may be for want of memory, and pass."""
_REFUSED = {
    Standing.FOREIGN: "{} is there already, and no batch made it.",
    Standing.CHANGED: "{} was changed since a batch made it.",
}
