"""``ldctdenoise batch``: every CT under a folder, or the rows of a CSV, with one model; goes on where it was interrupted."""

from __future__ import annotations

import argparse
import contextlib
import json

from ..errors import LDCTDenoiseError
from .batch_progress import BatchProgress
from .batch_summary import Summary, reason
from .options import (
    add_device,
    add_dicom_output,
    add_model,
    add_reading,
    denoising_options,
    dicom_output,
    path_or_address,
    positive,
    shard,
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "batch",
        help="denoise many CTs",
        description=__doc__,
        epilog="What is finished is known by content: input, model, options and output as they were; DST/.ldctdenoise.batch "
        "keeps what made each output. The rest is done again. Exit code 1 when any failed.",
    )
    parser.add_argument(
        "source",
        type=path_or_address,
        metavar="SRC",
        help="folder of volume files and DICOM series, or CSV: input,output; here or in a store (s3://bucket/ct)",
    )
    parser.add_argument(
        "target",
        type=path_or_address,
        metavar="DST",
        help="folder of the outputs, in the layout of SRC; made if missing; here or in a store",
    )
    add_reading(parser)
    add_device(parser)
    add_dicom_output(parser)
    add_model(parser)
    parser.add_argument("--jobs", type=positive, default=2, metavar="N", help="CTs at work at once: one is computed (default 2)")
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help="do only part I, from 0 to N-1, of the list; each item is in exactly one (see batch-report)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..stores.address import Address
    from ..system.files import check_exists, check_there

    if not isinstance(options.source, Address):
        needed = "a folder or a CSV file"
        if isinstance(options.target, Address):
            check_exists(options.source, needed)
        else:
            check_there(options.source, options.target, needed)
    from ..denoising.batch.alone import alone
    from ..denoising.batch.item_worker import ItemWorker, Plan
    from ..denoising.batch.items import find_items
    from ..denoising.batch.one_item import Status
    from ..denoising.batch.run import run_here
    from ..denoising.batch.sources import ListSource, note_source
    from ..denoising.batch.staged_item import check_store
    from ..denoising.one_file import FileOptions
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
        items = find_items(
            options.source, options.target, force=options.force, allow_missing=options.allow_missing, shard=options.shard
        )
    plan = Plan(options.target, denoising_options(options), how, options.jobs, options.dry_run)
    summary = Summary(items)
    with contextlib.ExitStack() as stack:
        if not options.dry_run:
            # Before time is spent on the model.
            if isinstance(options.target, Address):
                check_store(options.target)
            else:
                stack.enter_context(alone(options.target, options.shard))
                source = options.source if isinstance(options.source, Address) else options.source.absolute()
                note_source(options.target, ListSource(str(source), options.force, options.allow_missing))
        worker = stack.enter_context(contextlib.closing(ItemWorker(plan, len(items))))
        progress = stack.enter_context(BatchProgress(len(items), quiet=options.quiet))
        outcomes = stack.enter_context(contextlib.closing(run_here(items, worker.do, worker.stop, options.jobs)))
        for outcome in outcomes:
            summary.add(outcome)
            failed = outcome.status is Status.FAILED
            progress.add(failed=failed, remark=f"{outcome.item.output}: {reason(outcome)}" if failed else "")
    if options.json:
        model = {"model": worker.info.name, "model_hash": worker.info.model_hash}
        print(json.dumps({**model, **summary.as_json(), "warnings": warnings}, indent=2, ensure_ascii=False))
    else:
        print("\n".join([*summary.table(), *warnings]))
    if summary.failed:
        raise LDCTDenoiseError(f"{summary.failed} of {summary.count} could not be denoised; the summary says why.")
