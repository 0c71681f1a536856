"""Train the parts of the paper's systems.

python -m benchmarks.paper_results.rows --data ../shared/data/train --minutes 60

What is finished is not trained again, and what was stopped goes on.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from LDCTDenoiseLib.commands.train import quieten_lightning
from LDCTDenoiseLib.errors import LDCTDenoiseError, as_sentence
from LDCTDenoiseLib.training.config import load_config

from .patients import prepare_patients
from .plan import measure_steps, plan_text, read_steps
from .train_parts import Training, finished, train_parts
from .weights import FOLDER


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of normal-dose volumes")
    parser.add_argument("--vgg-weights", type=Path, metavar="FILE", help="VGG-16 (safetensors; default: fetch torchvision's)")
    parser.add_argument("--runs", type=Path, default=Path("runs/paper"), metavar="DIR")
    parser.add_argument("--cache", type=Path, default=Path("cache"), metavar="DIR")
    parser.add_argument("--minutes", type=float, metavar="N", help="stop training after N minutes (default: when all is trained)")
    parser.add_argument("--plan", action="store_true", help="print the parts, their steps and the hours left, and end")
    parser.add_argument("--measure-steps", action="store_true", help="measure the processor time of steps and grant them anew")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    quieten_lightning()
    split = load_config("default").data
    try:
        if options.measure_steps:
            measure_steps(split, options.vgg_weights)
            return 0
        if options.plan:
            print(plan_text(read_steps(), finished(FOLDER)))
            return 0
        csv = prepare_patients(options.data, split, options.cache / "paper_patients")
        how = Training(csv, split, options.runs, options.cache, FOLDER, read_steps(), options.vgg_weights)
        failed = train_parts(how, minutes=options.minutes)
    except LDCTDenoiseError as error:
        print(as_sentence(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 0
    for name, message in failed.items():
        print(f"{name}: {message}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":  # processes that it starts import it
    sys.exit(main())
