"""``ldctdenoise demo``: a phantom at a quarter of a usual dose, denoised by the shipped model, with a picture.

With ``--train``, a small training on phantoms instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import Code, InputError
from .options import add_device, said_when_written, slice_progress


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("demo", help="denoise a phantom and show the result", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("demo-output"), metavar="DIR", help="folder for the results (default: demo-output)"
    )
    parser.add_argument("--train", metavar="NAME|FILE", help="train this configuration on phantoms instead, such as demo")
    parser.add_argument("--vgg-weights", type=Path, metavar="FILE", help="VGG-16 for --train (default: no perceptual loss)")
    add_device(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    if options.train:
        _train(options)
        return
    if options.vgg_weights:
        raise InputError("--vgg-weights is for --train; leave it out, or give both.", Code.ARGUMENT)
    from ..demo.denoising_demo import run_demo

    with said_when_written(options.out):
        table = run_demo(options.out, device=options.device, bar=lambda title: slice_progress(title, quiet=options.quiet))
    print(table)


def _train(options: argparse.Namespace) -> None:
    from ..system.extras import require_extra
    from ..training.config import load_config
    from .train import quieten_lightning

    config = load_config(options.train)
    with require_extra("train"):
        from ..demo.training_demo import run_demo_training
    quieten_lightning()
    with said_when_written(options.out):
        table = run_demo_training(config, options.out, vgg_weights=options.vgg_weights, device=options.device)
    print(table)
