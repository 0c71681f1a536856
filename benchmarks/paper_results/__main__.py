"""The paper's experiments, run and shown in docs/results.

    make results

On a CUDA GPU every system is trained with the full recipe of its configuration; without one A, B, C and D with one equal, small
budget, and the others stand in the table as not run yet. A run that is finished is not repeated, a broken one goes on. Runs:
``runs/<configuration>``, which ``ldctdenoise figures`` reads too.
"""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

import torch

from LDCTDenoiseLib.commands.train import quieten_lightning
from LDCTDenoiseLib.errors import LDCTDenoiseError, as_sentence

from .budget import SMALL, within
from .results import make_results, read_recipes
from .runs import Training
from .split import write_split
from .systems import SHIPPED, SYSTEMS

EVERY_ON_CPU = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of normal-dose volumes")
    parser.add_argument("--vgg-weights", type=Path, metavar="FILE", help="VGG-16 (safetensors; default: fetch torchvision's)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR")
    parser.add_argument("--cache", type=Path, default=Path("cache"), metavar="DIR")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), metavar="DIR")
    parser.add_argument("--every", type=int, metavar="N", help=f"judge every N-th slice (default: all on a GPU, {EVERY_ON_CPU})")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    quieten_lightning()

    gpu = torch.cuda.is_available()
    recipe = (lambda config: config) if gpu else partial(within, SMALL)
    names = [system.config for system in SYSTEMS if gpu or system.preliminary]
    every = options.every or (1 if gpu else EVERY_ON_CPU)
    try:
        csv = write_split(options.data, read_recipes()[SHIPPED.config].data, options.runs / "pairs.csv")
        how = Training(csv, options.runs, options.cache, recipe, options.vgg_weights)
        results = make_results(names, how, options.out, every=every)
    except LDCTDenoiseError as error:
        print(as_sentence(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from the last checkpoint.", file=sys.stderr)
        return 130
    for name, message in results.failed.items():
        print(f"{name}: {message}", file=sys.stderr)
    return 1 if results.failed else 0


if __name__ == "__main__":  # processes that it starts import it
    sys.exit(main())
