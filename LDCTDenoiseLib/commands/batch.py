"""``ldctdenoise batch``: every CT under a folder, or the rows of a CSV, with one model; goes on where it was interrupted."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LDCTDenoiseError, printable
from .options import (
    add_device,
    add_dicom_output,
    add_model,
    add_reading,
    denoising_options,
    dicom_output,
    load_denoiser,
    positive,
)
from .remedies import with_remedy

if TYPE_CHECKING:
    from ..denoising.batch.one_item import Outcome


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "batch",
        help="denoise many CTs",
        description=__doc__,
        epilog="What is finished is known by content: input, model, options and output as they were; DST/.ldctdenoise.batch "
        "keeps what made each output. The rest is done again. Exit code 1 when any failed.",
    )
    parser.add_argument("source", type=Path, metavar="SRC", help="folder of volume files and DICOM series, or CSV: input,output")
    parser.add_argument("target", type=Path, metavar="DST", help="folder of the outputs, in the layout of SRC; made if missing")
    add_reading(parser)
    add_device(parser)
    add_dicom_output(parser)
    add_model(parser)
    parser.add_argument("--jobs", type=positive, default=2, metavar="N", help="CTs at work at once: one is computed (default 2)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from ..denoising import one_file
    from ..denoising.batch.items import find_items
    from ..denoising.batch.one_item import ItemOptions, Recipe, Status
    from ..denoising.batch.records import alone
    from ..denoising.batch.run import Batch
    from ..denoising.one_file import FileOptions
    from ..dicom.log_privacy import silence_pydicom
    from ..models.model_info import find_model, read_info
    from ..models.provenance import Provenance
    from ..system.child import Children
    from ..system.warnings_told import warnings_of_this_thread

    how = FileOptions(
        axis=options.axis,
        force=options.force,
        allow_missing=options.allow_missing,
        overwrite=options.overwrite,
        dicom=dicom_output(options),
    )
    how.dicom.check()
    with warnings_of_this_thread() as warnings:
        items = find_items(options.source, options.target, force=options.force, allow_missing=options.allow_missing)
    with contextlib.ExitStack() as stack:
        denoiser, stop = None, threading.Event()
        readers = stack.enter_context(contextlib.closing(Children(stop, one_file.__name__, silence_pydicom)))
        if not options.dry_run:
            stack.enter_context(alone(options.target))  # before time is spent on the model
            readers.start(min(options.jobs, len(items)))
            denoiser = load_denoiser(options)
        info = denoiser.info if denoiser else read_info(find_model(options.model))
        asked = denoising_options(options)
        used = replace(asked, levels=asked.levels or len(info.levels))
        recipe = Recipe(Provenance(info.name, info.model_hash, used, (0, 0)), how)
        batch = Batch(options.target, ItemOptions(recipe, denoiser, readers, stop), options.jobs)
        bar = stack.enter_context(tqdm(total=len(items), unit="CT", desc="Batch", disable=options.quiet, file=sys.stderr))

        def done(outcome: Outcome) -> None:
            if outcome.status is Status.FAILED and not options.quiet:
                bar.write(printable(f"{outcome.item.output}: {_reason(outcome)}"), file=sys.stderr)
            bar.update()

        outcomes = batch.run(items, done)
    if options.json:
        model = {"model": info.name, "model_hash": info.model_hash}
        print(json.dumps({**model, "series": _records(outcomes), "warnings": warnings}, indent=2, ensure_ascii=False))
    else:
        print("\n".join([_table(outcomes), *warnings]))
    failed = sum(outcome.status is Status.FAILED for outcome in outcomes)
    if failed:
        raise LDCTDenoiseError(f"{failed} of {len(outcomes)} could not be denoised; the summary says why.")


def _reason(outcome: Outcome) -> str:
    return with_remedy(outcome.reason, outcome.code) if outcome.code else outcome.reason


def _records(outcomes: list[Outcome]) -> list[dict[str, object]]:
    return [
        {
            "input": str(outcome.item.place),
            "output": str(outcome.item.output),
            "status": outcome.status.value,
            "reason": _reason(outcome),
            "slices": outcome.slices,
            "seconds": round(outcome.seconds, 3),
            "warnings": list(outcome.warnings),
        }
        for outcome in outcomes
    ]


def _table(outcomes: list[Outcome]) -> str:
    width = max(len(str(outcome.item.output)) for outcome in outcomes)
    status_width = max(len(outcome.status.value) for outcome in outcomes)
    lines = []
    for outcome in outcomes:
        remarks = " ".join(filter(None, [_reason(outcome), *outcome.warnings]))
        line = f"{outcome.item.output!s:{width}}  {outcome.status.value:{status_width}}"
        lines.append(f"{line}  {outcome.slices:5d} slices  {outcome.seconds:7.1f} s  {remarks}".rstrip())
    counts = Counter(outcome.status.value for outcome in outcomes)
    return "\n".join([*lines, ", ".join(f"{count} {status}" for status, count in counts.items())])
