"""What became of each item of a batch: whatever goes wrong with one, the others go on."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ...dicom.find_series import SeriesFiles
from ...errors import Code, InputError, OutputError, as_sentence, code_of
from ...stores.address import Address
from ...stores.objects import ObjectFolder
from ...system.warnings_told import warnings_of_this_thread
from ...system.work_folder import recover
from .items import Item
from .one_item import Done, ItemOptions, Status, Target, denoise_item
from .records import Failure, RecordBook, Records
from .staged_item import denoise_staged, record_book


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


def attempt(item: Item, folder: Path | Address, options: ItemOptions) -> Outcome:
    """Do an item of a batch; whatever goes wrong becomes its outcome and, unless it only looks, a record of the failure.

    Args:
        item: the item.
        folder: of the batch's outputs, on this machine or in a store.
        options: how, and with what.
    """
    start = time.perf_counter()
    with warnings_of_this_thread() as warnings:
        try:
            if item.problem:
                raise InputError(item.problem, item.code)
            done = _denoise(item, folder, options)
            slices = done.record.slices if done.status is Status.DENOISED else 0
            outcome = Outcome(item, done.status, slices=slices)
        except Exception as error:  # whatever it is, the others go on
            outcome = Outcome(item, Status.FAILED, as_sentence(error), code_of(error))
    if options.denoiser is not None and outcome.code is not Code.CANCELLED and not item.problem:
        _keep_failure(outcome, record_book(folder, options))
    return replace(outcome, seconds=time.perf_counter() - start, warnings=tuple(warnings))


def give_up(item: Item, folder: Path | Address, reason: str, deaths: int) -> None:
    """Keep that an item ended the processes that denoised it, so that it is not tried again unless it changes.

    Args:
        item: the item.
        folder: of the batch's outputs.
        reason: as a sentence.
        deaths: how many processes it ended.
    """
    records = RecordBook(ObjectFolder(folder)) if isinstance(folder, Address) else Records(folder, lambda path: False)
    with suppress(InputError, OutputError):
        record = records.read(item.output)
        if record is not None and not record.output:  # the content that the processes saw
            records.write(item.output, replace(record, crashes=deaths))
        records.write_failure(item.output, Failure(reason, Code.CRASHES.value))
    if isinstance(folder, Path):
        recover((folder / item.output).parent)  # nobody may write there again


def _keep_failure(outcome: Outcome, records: RecordBook) -> None:
    with suppress(Exception):  # where nothing can be written the summary tells it, and the others go on
        if outcome.code is None:
            records.forget_failure(outcome.item.output)
        else:
            records.write_failure(outcome.item.output, Failure(outcome.reason, outcome.code.value))


def _denoise(item: Item, folder: Path | Address, options: ItemOptions) -> Done:
    if isinstance(item.source, (Path, SeriesFiles)) and isinstance(folder, Path) and item.server is None:
        return denoise_item(item.source, Target(folder, item.output), options)
    return denoise_staged(item, folder, options)
