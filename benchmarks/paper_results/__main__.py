"""The paper's experiments, trained in parts, judged and shown in docs/results.

    make results

Trains what is not finished, judges what was not judged, and writes the page; all that was done before is kept. A training that
is stopped goes on from its last checkpoint in --runs, or from the last finished part where that folder is lost.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import torch

from LDCTDenoiseLib.commands.train import quieten_lightning
from LDCTDenoiseLib.errors import LDCTDenoiseError, as_sentence
from LDCTDenoiseLib.training.config import load_config

from . import judge
from .patients import prepare_patients
from .plan import measure_steps, plan_text, read_steps
from .results import Show, parts_left, show_results
from .systems import SHIPPED
from .train_parts import Training, train_parts
from .weights import FOLDER


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of normal-dose volumes")
    parser.add_argument("--pairs", type=Path, metavar="DIR", help="pairs of another simulator (default: pairs beside --data)")
    parser.add_argument("--vgg-weights", type=Path, metavar="FILE", help="VGG-16 (safetensors; default: fetch torchvision's)")
    parser.add_argument("--runs", type=Path, default=Path("runs/paper"), metavar="DIR")
    parser.add_argument("--cache", type=Path, default=Path("cache"), metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), metavar="DIR")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="train for N minutes at most, 0 not at all (default: to the end)"
    )
    parser.add_argument("--plan", action="store_true", help="print the parts, their steps and the hours left, and end")
    parser.add_argument(
        "--measure-steps", action="store_true", help="measure the processor time of steps, grant them anew, and end"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    quieten_lightning()
    split = load_config(SHIPPED).data
    failed: dict[str, str] = {}
    try:
        if options.measure_steps:
            measure_steps(split, options.vgg_weights)
            return 0
        granted = read_steps()
        csv = prepare_patients(options.data, split, options.cache / "paper_patients")
        pairs = options.pairs or options.data.parent / "pairs"
        show = Show(csv, pairs, FOLDER, judge.FOLDER, options.runs / "models", options.out, granted)
        left = parts_left(show)
        if options.plan:
            print(plan_text(granted, left))
            return 0
        how = Training(csv, split, options.runs, options.cache, FOLDER, granted, options.vgg_weights)
        start = time.monotonic()
        try:
            if options.minutes != 0:
                failed = train_parts(how, left, options.minutes)
        except KeyboardInterrupt:
            if options.minutes is None or time.monotonic() - start < 60 * options.minutes:
                raise
            print("The minutes are over; the same command goes on from the last checkpoint.", file=sys.stderr)
        show_results(show, failed)
    except LDCTDenoiseError as error:
        print(as_sentence(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    for name, message in failed.items():
        print(f"{name}: {message}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":  # processes that it starts import it
    torch.set_num_threads(1)  # of this process for good: steps are granted by the time that they take one core
    sys.exit(main())
