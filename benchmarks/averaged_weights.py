"""Model files of a run's checkpoints with and without averaged weights, to compare them by the frontier.

    python -m benchmarks.averaged_weights --run runs/x --data DATA --start-from default --out models step120.ckpt step600.ckpt
    python -m benchmarks.frontier --pairs ../shared/data/kernel_pairs --models models/step120_last.safetensors,... --out .

A run keeps the checkpoint of its last epoch alone; copy it aside while the run goes on, to look at several of its points. From
each come three models of the first level: the last weights, their average, both with the batch norm that the run had, and the
average with its batch norm estimated anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from LDCTDenoiseLib.ct.hu import DEFAULT_SCALE
from LDCTDenoiseLib.models.cascade import Cascade
from LDCTDenoiseLib.models.model_file import save_model
from LDCTDenoiseLib.models.model_info import SUFFIX, ModelInfo
from LDCTDenoiseLib.training.callbacks.hold_batch_norm import estimate_batch_norm
from LDCTDenoiseLib.training.config import load_config
from LDCTDenoiseLib.training.processes import find_processes
from LDCTDenoiseLib.training.train import TrainingData, begin, cleaner_of, level_module

LAST, AVERAGE, OWN_NORM = "last", "average", "average_own_norm"
_CPU = torch.device("cpu")


def states(checkpoint: dict[str, Any]) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """The level's tensors by what they are, from a checkpoint of a run with ``average``."""
    yield LAST, checkpoint["current_model_state"]
    yield AVERAGE, checkpoint["state_dict"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a run whose first level averages its weights")
    parser.add_argument("--data", type=Path, required=True, help="its data")
    parser.add_argument("--start-from", default="default", help="the model that it started from (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="its cache (default: RUN/cache)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model files")
    parser.add_argument("checkpoints", type=Path, nargs="+")
    options = parser.parse_args()
    config = load_config(options.run / "config.yaml")
    cache = options.cache or options.run / "cache"
    cascade, _ = begin(config, options.start_from)
    module = level_module(cascade, 0, config, None)
    data = TrainingData(options.data, config, cache, find_processes(1), cleaner_of(config, options.start_from, _CPU, cache))
    data.module = module
    data.setup("fit")
    options.out.mkdir(parents=True, exist_ok=True)

    def write(name: str) -> None:
        one = Cascade(cascade.levels[:1])
        one.network(0).load_state_dict(module.network.state_dict())
        path = options.out / f"{name}{SUFFIX}"
        save_model(one, ModelInfo(name, one.levels, DEFAULT_SCALE, config.purpose), path)
        print(path, flush=True)

    for path in options.checkpoints:
        # Written by the user's own run.
        for kind, state in states(torch.load(path, map_location=_CPU, weights_only=False)):
            module.load_state_dict(state, strict=False)  # a checkpoint holds the trained level alone
            write(f"{path.stem}_{kind}")
        estimate_batch_norm(module, data.batches_for_norm(), _CPU)
        write(f"{path.stem}_{OWN_NORM}")


if __name__ == "__main__":
    main()
