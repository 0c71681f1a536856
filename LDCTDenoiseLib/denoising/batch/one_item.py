"""Denoise one item of a batch: the unit that every engine repeats, and that may be done again at any time."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from ...errors import Code, InputError, OutputError
from ...inference.engine import Denoiser
from ...models.options import Effect
from ...models.provenance import Provenance
from ...system.child import ChildCrashedError, Children
from ...system.durable import make_folders
from ...system.files import told_before_placed
from ..one_file import FileOptions, Input, Source, denoise_file, read_input
from .items import files_of_source, place_of_source
from .records import Record, Records, Standing, content_hash, finished, hash_of_output, states
from .remains import is_damaged

TRIES = 2
"""How often an input may end the process that reads it: a crash may be for want of memory, and pass."""


class Status(StrEnum):
    """How an item ended."""

    DENOISED = "denoised"
    FINISHED = "already finished"
    TO_DO = "to do"  # a dry run's
    FAILED = "failed"


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


@dataclass(frozen=True)
class Target:
    """Where an output goes.

    Attributes:
        folder: the batch's folder, which keeps the records.
        output: the output, relative to it.
    """

    folder: Path
    output: Path

    @property
    def place(self) -> Path:
        """The output's path."""
        return self.folder / self.output


@dataclass(frozen=True)
class ItemOptions:
    """How items are done, and with what.

    Attributes:
        recipe: how outputs are made.
        denoiser: the loaded model; None only looks at what there is to do.
        readers: processes in which inputs are read: a crash there costs one input.
        stop: set when the work is to be given up.
        progress: called with (output, slices done, slices to do) after every batch of slices.
    """

    recipe: Recipe
    denoiser: Denoiser | None
    readers: Children
    stop: threading.Event
    progress: Callable[[Path, int, int], object] | None = None

    def records(self, folder: Path) -> Records:
        """The records of a folder of outputs."""
        return Records(folder, lambda path: bool(self.readers.call(is_damaged, path)))

    def read(self, source: Source, target: Path, options: FileOptions) -> Input:
        """Read an input in another process."""
        scan: Input = self.readers.call(read_input, source, target, options)
        return scan


@dataclass(frozen=True)
class Done:
    """What was done for an item.

    Attributes:
        status: denoised now, finished before, or, without a model, to do.
        record: of the output; that of one to do has no output.
    """

    status: Status
    record: Record


def denoise_item(source: Source, target: Target, options: ItemOptions) -> Done:
    """Denoise one input unless its output is there, made as it would be made now.

    The output is whole or absent, and its record, written last, is the only thing that says it is done. Whoever ends in
    between, or does it twice, loses nothing; a failure leaves output and record as they were.

    Args:
        source: a volume file, a DICOM folder, or the files of a series.
        target: where its output goes.
        options: how, and with what.

    Raises:
        InputError: the input cannot be used, or has ended the process that read it too often.
        OutputError: the output cannot be written, or is there and no batch made it.
        MissingExtraError: a decoder or encoder is not installed.
        DenoisingCancelled: given up.
        DeviceError: not enough memory.
        OSError: the output is gone.
    """
    records, file = options.records(target.folder), options.recipe.file
    files, place = files_of_source(source), place_of_source(source)
    states_before = states(files)
    record = options.recipe.record(content_hash(files))
    standing = records.standing(target.output, record)
    if standing is Standing.FINISHED:
        return Done(Status.FINISHED, records.read(target.output) or record)
    if standing in (Standing.FOREIGN, Standing.CHANGED) and not file.overwrite:
        raise OutputError(REFUSED[standing].format(target.output), Code.NOT_OURS)
    if options.denoiser is None:
        return Done(Status.TO_DO, record)
    before = records.read(target.output)
    crashes = _crashes(before, record, place, overwrite=file.overwrite)
    if standing is Standing.DAMAGED:
        records.remove_remains(target.output)
    ours = standing in (Standing.OURS, Standing.DAMAGED)
    begun = replace(record, replaced=hash_of_output(target.place) if ours else "", crashes=crashes)
    make_folders(target.place.parent)
    records.write(target.output, begun)
    made: list[Record] = []

    def note(new: Path) -> None:
        made.append(finished(begun, new))
        records.write(target.output, replace(begun, files=made[0].files))

    start = time.perf_counter()
    try:
        with told_before_placed(target.place, note):
            result = denoise_file(
                source,
                target.place,
                options.denoiser,
                replace(file, overwrite=file.overwrite or ours),
                progress=partial(options.progress, target.output) if options.progress else None,
                cancel=options.stop.is_set,
                read=options.read,
            )
    except ChildCrashedError as crash:
        records.write(target.output, replace(begun, crashes=crashes + 1))
        raise InputError(f"{crash} {place.name} is damaged, or the memory is short; get the file again.") from crash
    except Exception:
        if not made:  # else it may be in its place
            with suppress(OutputError):  # the record of what was begun claims nothing that is not ours
                records.put_back(target.output, before)
        raise
    if states(files) != states_before:
        raise InputError(f"The files of {place.name} changed meanwhile; run the batch again when they are complete.")
    seconds = round(time.perf_counter() - start, 3)
    record = replace(made[0], slices=result.slices, seconds=seconds)
    records.write(target.output, record)
    return Done(Status.DENOISED, record)


def _crashes(before: Record | None, wanted: Record, place: Path, *, overwrite: bool) -> int:
    """How often reading an input has crashed.

    Raises:
        InputError: too often to try it again.
    """
    if before is None or (before.input, before.software) != (wanted.input, wanted.software):
        return 0
    if before.crashes >= TRIES and not overwrite:
        raise InputError(
            f"{place.name} has ended the process that read it {before.crashes} times; it is not read again unless it changes.",
            Code.CRASHES,
        )
    return before.crashes


REFUSED = {
    Standing.FOREIGN: "{} is there already, and no batch made it.",
    Standing.CHANGED: "{} was changed since a batch made it.",
}
"""Outputs that are not replaced unless it is asked for, and why."""
