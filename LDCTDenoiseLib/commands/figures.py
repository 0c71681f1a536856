"""``ldctdenoise figures``: the paper's figures 2, 5 and 6 from our own runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_device, count, dose, fraction, said_when_written


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("figures", help="redraw the paper's figures from own runs", description=__doc__)
    parser.add_argument(
        "--pairs", type=Path, required=True, metavar="CSV", help="patient,low,full,split; an empty low is simulated"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of paper-a, ... (default: runs)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument("--patient", help="to show (default: the first of the split 'test')")
    parser.add_argument("--slice", type=count, metavar="N", help="to show, counted from 0 (default: the middle one)")
    parser.add_argument("--blend", type=fraction, default=0.7, metavar="0..1", help="of the models (default 0.7, the paper's)")
    parser.add_argument("--dose", type=dose, default=0.25, metavar="A", help="of a simulated low dose (default 0.25)")
    parser.add_argument("--kernel", choices=["soft", "sharp"], default="soft", help="of a simulated low dose (default soft)")
    add_device(parser)
    parser.add_argument("--quiet", action="store_true", help="no notes")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..system.extras import check_extra
    from ..system.files import check_exists

    check_exists(options.pairs, "a CSV of pairs")
    check_extra("report", "matplotlib", "scipy", "skimage", "torchmetrics")
    from ..evaluation.evaluate import EvaluationOptions
    from ..evaluation.paper_figures import draw_paper_figures

    how = EvaluationOptions(blend=options.blend, dose=options.dose, kernel=options.kernel, device=options.device)
    index = -1 if options.slice is None else options.slice
    with said_when_written(options.out):
        pictures = draw_paper_figures(options.pairs, options.runs, options.out, how, patient=options.patient, index=index)
    print(*pictures, sep="\n")
