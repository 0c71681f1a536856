"""``ldctdenoise batch``: every CT under a folder, or the rows of a CSV, with one model; goes on where it was interrupted."""

from __future__ import annotations

import argparse
import contextlib
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ..errors import Code, InputError, LDCTDenoiseError
from .batch_progress import BatchProgress
from .batch_summary import Summary, reason
from .options import (
    add_device,
    add_dicom_output,
    add_model,
    add_reading,
    denoising_options,
    dicom_output,
    gpus,
    path_or_address,
    positive,
    shard,
)

if TYPE_CHECKING:
    from ..denoising.batch.item_worker import Plan
    from ..denoising.batch.items import Item
    from ..denoising.batch.ray_engine import RayEngine


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
    parser.add_argument(
        "--jobs", type=positive, default=2, metavar="N", help="CTs at work at once in a process: one is computed (default 2)"
    )
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="this process (default), or workers of Ray")
    parser.add_argument(
        "--address",
        metavar="auto|ray://HOST:10001",
        help="Ray's cluster: this machine's, or one elsewhere (default: start Ray here)",
    )
    parser.add_argument(
        "--gpus-per-worker",
        type=gpus,
        metavar="1|0.5|0",
        help="with Ray: GPUs, or the part of one, that each worker takes (default: 1 where there are GPUs)",
    )
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

    if options.engine != "ray" and (options.address is not None or options.gpus_per_worker is not None):
        raise InputError("--address and --gpus-per-worker are for Ray; add --engine ray, or leave them out.", Code.ARGUMENT)
    if not isinstance(options.source, Address):
        needed = "a folder or a CSV file"
        if isinstance(options.target, Address):
            check_exists(options.source, needed)
        else:
            check_there(options.source, options.target, needed)
    from ..denoising.batch.alone import alone, await_workers
    from ..denoising.batch.item_worker import ItemWorker, Plan
    from ..denoising.batch.items import find_items
    from ..denoising.batch.one_item import Status
    from ..denoising.batch.run import run_here
    from ..denoising.batch.sources import ListSource, note_source
    from ..denoising.batch.staged_item import check_store
    from ..denoising.one_file import FileOptions
    from ..models.model_info import find_model, read_info
    from ..system.warnings_told import warnings_of_this_thread

    source, target = options.source, options.target
    if options.engine == "ray":  # whose workers have another current folder
        source, target = (one if isinstance(one, Address) else one.absolute() for one in (source, target))
    how = FileOptions(
        axis=options.axis,
        force=options.force,
        allow_missing=options.allow_missing,
        overwrite=options.overwrite,
        dicom=dicom_output(options),
    )
    how.dicom.check()
    with warnings_of_this_thread() as warnings:
        items = find_items(source, target, force=options.force, allow_missing=options.allow_missing, shard=options.shard)
    plan = Plan(target, denoising_options(options), how, options.jobs, options.dry_run, options.shard)
    summary = Summary(items)
    with contextlib.ExitStack() as stack:
        if not options.dry_run:
            # Before time is spent on the model.
            if isinstance(options.target, Address):
                check_store(options.target)
            else:
                stack.enter_context(alone(options.target, options.shard))
                await_workers(options.target, options.shard)
                listed = source if isinstance(source, Address) else source.absolute()
                note_source(options.target, ListSource(str(listed), options.force, options.allow_missing))
        if options.engine == "ray" and not options.dry_run:
            work = _ray_engine(options, plan).run
        else:
            # The line of progress comes after what is logged of the device.
            worker = ItemWorker(plan, len(items), lambda *told: progress.tell_slices(*told))
            stack.enter_context(contextlib.closing(worker))
            work = partial(run_here, do=worker.do, stop=worker.stop, jobs=options.jobs)
        progress = stack.enter_context(BatchProgress(len(items), quiet=options.quiet))
        outcomes = stack.enter_context(contextlib.closing(work(items)))
        for outcome in outcomes:
            summary.add(outcome)
            failed = outcome.status is Status.FAILED
            progress.add(failed=failed, remark=f"{outcome.item.output}: {reason(outcome)}" if failed else "")
    if options.json:
        info = read_info(find_model(options.model))
        model = {"model": info.name, "model_hash": info.model_hash}
        print(json.dumps({**model, **summary.as_json(), "warnings": warnings}, indent=2, ensure_ascii=False))
    else:
        print("\n".join([*summary.table(), *warnings]))
    if summary.failed:
        raise LDCTDenoiseError(f"{summary.failed} of {summary.count} could not be denoised; the summary says why.")


def _ray_engine(options: argparse.Namespace, plan: Plan) -> RayEngine:
    from ..denoising.batch.attempt import give_up
    from ..denoising.batch.item_worker import ClusterWorker
    from ..denoising.batch.ray_engine import RayEngine, WorkerNeeds

    without_gpu = options.gpus_per_worker == 0 or options.device == "cpu"
    cores = options.threads or 1
    if without_gpu:
        plan = replace(plan, denoising=replace(plan.denoising, device="cpu", threads=cores))
    needs = WorkerNeeds(0 if without_gpu else options.gpus_per_worker, cores, options.jobs)

    def poison(item: Item, reason: str, deaths: int) -> None:
        give_up(item, plan.folder, reason, deaths)

    return RayEngine(partial(ClusterWorker, plan), needs, poison, options.address)
