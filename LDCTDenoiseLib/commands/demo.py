"""``ldctdenoise demo``: a phantom at a quarter of a usual dose, denoised by the shipped model, with a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_device


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("demo", help="denoise a phantom and show the result", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo-output"), metavar="DIR", help="default: demo-output")
    add_device(parser)
    parser.add_argument("--quiet", action="store_true", help="no notes")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..demo import run_demo

    print(run_demo(options.out, device=options.device))
