"""Train the parts one after the other; goes on where it was stopped, and takes no more minutes than it is given."""

from __future__ import annotations

import csv
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from LDCTDenoiseLib.errors import TrainingError
from LDCTDenoiseLib.models.model_file import load_model
from LDCTDenoiseLib.system.locks import Lock, try_lock
from LDCTDenoiseLib.training.config import DataConfig, LossConfig, TrainingConfig
from LDCTDenoiseLib.training.losses.perceptual import PerceptualLoss, load_vgg
from LDCTDenoiseLib.training.patches.cases import load_cases
from LDCTDenoiseLib.training.train import RunFiles, train

from .parts import PARTS, Part
from .perceptual_weight import weight_on_the_mse_scale
from .plan import Granted, part_config
from .weights import assemble, export, weights_file

log = logging.getLogger(__name__)

MSE_PART = "a-1"
"""Trained by the MSE alone; tells the scale of the MSE."""
Tune = Callable[[TrainingConfig], TrainingConfig]


@dataclass(frozen=True)
class Training:
    """What all parts are trained with.

    Attributes:
        csv: patients and split (``patients.py``).
        split: names the validation and test patients.
        runs: folder of the run folders, with the checkpoints of what is not finished.
        cache: prepared volumes.
        weights: folder of the finished parts' weights.
        granted: steps by part.
        vgg_weights: safetensors file of VGG-16.
        tune: changes a part's configuration; for tests.
    """

    csv: Path
    split: DataConfig
    runs: Path
    cache: Path
    weights: Path
    granted: dict[str, Granted]
    vgg_weights: Path | None = None
    tune: Tune = lambda config: config


def finished(weights: Path) -> list[str]:
    """Names of the parts whose weights are there."""
    return [name for name in PARTS if weights_file(weights, name).exists()]


def train_parts(how: Training, names: Sequence[str] | None = None, minutes: float | None = None) -> dict[str, str]:
    """Train what is not finished, in the order of ``PARTS``; one that fails does not stop those that do without it.

    Parts that another process trains are left to it.

    Args:
        how: they are trained.
        names: of the parts; None is all.
        minutes: after which to stop; the part in training goes on from its last checkpoint another time.

    Returns:
        What went wrong, by the part's name.

    Raises:
        KeyboardInterrupt: the minutes are over, or the process was asked to end.
        InputError: data or a run folder cannot be used.
    """
    failed: dict[str, str] = {}
    elsewhere: set[str] = set()
    wanted = list(PARTS if names is None else names)
    with _ending(minutes):
        while (part := _next_part(how, [name for name in wanted if name not in elsewhere.union(failed)])) is not None:
            with _locked(how.runs / part.name) as locked:
                if not locked:
                    elsewhere.add(part.name)
                elif not weights_file(how.weights, part.name).exists():  # another process may have just finished it
                    try:
                        _train_part(part, how)
                    except TrainingError as error:
                        failed[part.name] = str(error)
                        log.warning("%s: %s", part.name, error)
    done = finished(how.weights)
    for name in (name for name in wanted if name not in elsewhere.union(done, failed)):
        missing = [need for need in PARTS[name].needs if need not in done]
        if not elsewhere.intersection(missing):
            failed[name] = f"needs {', '.join(missing)}"
    return failed


def _next_part(how: Training, names: Sequence[str]) -> Part | None:
    """The first part to train whose beginning is there."""
    done = finished(how.weights)
    return next((PARTS[name] for name in names if name not in done and set(PARTS[name].needs) <= set(done)), None)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether this process alone may train in a run's folder: as many may train the parts as there are cores."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        yield try_lock(file.fileno()) is not Lock.HELD


def _train_part(part: Part, how: Training) -> None:
    weight = perceptual_weight(how) if part.scaled else None
    config = how.tune(part_config(part, how.granted[part.name].steps, how.split, weight))
    files = RunFiles(how.runs / part.name)
    log.info("%s: %d steps.", part.name, config.levels[part.index].steps)
    start = None
    if part.needs:
        start = files.folder / "start" / "start.safetensors"
        assemble([weights_file(how.weights, name) for name in part.needs], start, f"Where {part.name} starts.")
    before = time.process_time()
    model = train(
        config,
        how.csv,
        files.folder,
        resume=True,
        start_from=start,
        vgg_weights=how.vgg_weights,
        cache=how.cache,
        device="cpu",
        progress=sys.stderr.isatty(),
    )
    log.info("%s: finished, %.0f processor minutes since it was last begun.", part.name, (time.process_time() - before) / 60)
    export(model, part.index, _record(part, config, model, files), weights_file(how.weights, part.name))


def _record(part: Part, config: TrainingConfig, model: Path, files: RunFiles) -> dict[str, Any]:
    _, info = load_model(model)
    level = config.levels[part.index]
    with (files.level(part.index) / "metrics.csv").open(newline="", encoding="utf-8") as file:
        curve = [[int(row["step"]), float(row["psnr_db"])] for row in csv.DictReader(file)]
    return {
        "part": part.name,
        "needs": list(part.needs),
        "seed": config.seed,
        "steps": level.steps,
        "kept_step": info.training["kept_steps"][part.index],
        "batch": [config.data.batch_size, config.data.patch_size],
        "minutes": info.training["minutes"][part.index],
        "loss": {"mse": level.loss.mse, "perceptual": level.loss.perceptual, "adversarial": level.loss.adversarial},
        "precision": info.training["precision"][part.index],
        "validation_psnr_db": curve,
        "torch": torch.__version__,
    }


def perceptual_weight(how: Training) -> float:
    """The weight of L_P that is on the scale of the MSE where ``MSE_PART`` ended."""
    if missing := [name for name in (MSE_PART,) if not weights_file(how.weights, name).exists()]:
        raise TrainingError(f"The weight of L_P is taken from {missing[0]}, which is not finished.")
    config = how.tune(part_config(PARTS[MSE_PART], how.granted[MSE_PART].steps, how.split))
    model = how.runs / "scale" / "scale.safetensors"
    assemble([weights_file(how.weights, MSE_PART)], model, f"{MSE_PART}.")
    cascade, _ = load_model(model)
    cases = load_cases(how.csv, config.data, ("train",), cache=how.cache, seed=config.seed)["train"]
    loss = LossConfig()
    perceptual = PerceptualLoss(load_vgg(how.vgg_weights, loss.vgg_blocks), loss.vgg_window)
    weight = weight_on_the_mse_scale(cascade, perceptual, cases, config.data)
    log.info("L_P pulls as hard as the MSE at a weight of %g.", weight)
    return weight


@contextmanager
def _ending(minutes: float | None) -> Iterator[None]:
    """Turn the end of the time, SIGINT and SIGTERM into ``KeyboardInterrupt``, which the trainer knows."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    # Named even if they are ignored, as they are in a process that a shell started in the background.
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    if minutes is not None:
        signal.setitimer(signal.ITIMER_REAL, max(1.0, minutes * 60))
    try:
        yield
    except SystemExit:  # what Lightning makes of it
        raise KeyboardInterrupt from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
