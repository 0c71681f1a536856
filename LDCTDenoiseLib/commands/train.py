"""``ldctdenoise train``: train a cascade level by level and write its model file and card."""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path

from ..training.shipped_configs import find_config, shipped_configs
from .options import add_device, positive


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("train", help="train a cascade", description=__doc__)
    parser.add_argument(
        "--config",
        required=True,
        metavar="NAME|FILE",
        help=f"a YAML file, or a configuration that comes with the package: {', '.join(shipped_configs())}",
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of normal-dose volumes, or a CSV: patient,low,full,split"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder: checkpoints, logs, model")
    parser.add_argument("--resume", action="store_true", help="go on from the run folder's checkpoints")
    parser.add_argument("--start-from", metavar="MODEL", help="name or file of a model whose weights the levels begin with")
    parser.add_argument("--vgg-weights", type=Path, metavar="FILE", help="VGG-16 (safetensors; default: fetch torchvision's)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder for prepared volumes (default: RUN/cache)")
    parser.add_argument("--dry-run", action="store_true", help="print the plan (steps, memory, time) and write nothing")
    parser.add_argument(
        "--devices",
        type=positive,
        default=1,
        metavar="N",
        help="GPUs, or processes on the CPU, that share each batch",
    )
    add_device(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..system.extras import require_extra
    from ..system.files import check_exists
    from ..training.config import load_config

    find_config(options.config)
    check_exists(options.data, "a folder of volumes or a CSV of pairs")
    config = load_config(options.config)
    with require_extra("train"):
        from ..training.processes import find_processes
        from ..training.train import train

    quieten_lightning()
    if options.dry_run:
        from ..training.plan import plan

        print(
            plan(
                config,
                options.data,
                start_from=options.start_from,
                vgg_weights=options.vgg_weights,
                device=options.device,
                devices=options.devices,
            )
        )
        return
    model = train(
        config,
        options.data,
        options.out,
        resume=options.resume,
        start_from=options.start_from,
        vgg_weights=options.vgg_weights,
        cache=options.cache,
        device=options.device,
        devices=options.devices,
        progress=not options.quiet,
    )
    if find_processes(options.devices).first:
        print(model)


def quieten_lightning() -> None:
    """Lightning's own notes are about Lightning."""
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
