"""What a training run would do and need, told without doing it (``train --dry-run``)."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from ..errors import counted
from ..models.networks import count_parameters
from ..models.networks.layers import channels_last
from ..system.devices import choose_device
from .config import LevelConfig, TrainingConfig
from .level_training import LevelTraining
from .patches.batches import LESIONS_EVERY, ValidationSlices
from .patches.cases import find_training_data, patients_by_split
from .patches.samples import Images
from .precision import usable_precision
from .processes import find_processes
from .train import begin, check_training, check_validation, cleaner_of, level_module

_TIMED_STEPS = 3
_SLICE = 512
_SLICES_PER_PATIENT = ValidationSlices.slices_per_case * len(ValidationSlices.degradations)  # each once more with lesions


def plan(
    config: TrainingConfig,
    data: Path,
    *,
    start_from: str | os.PathLike[str] | None = None,
    vgg_weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    devices: int = 1,
) -> str:
    """The plan of a run: data, levels, steps, memory and time, from a few steps on patches of noise.

    Args:
        as in ``train.train``; nothing is read but lists and headers, and nothing is written.

    Raises:
        InputError: what would stop the run at its start.
    """
    where = choose_device(device)
    processes = find_processes(devices)
    check_training(config, processes)
    pairs = find_training_data(data, config.data)
    splits = patients_by_split(pairs)
    check_validation(config, validated=bool(splits["validate"]))
    kinds = Counter("pairs" if pair.low else "normal-dose volumes with noise to insert" for pair in pairs)
    cleaner_of(config, start_from, where, Path())  # for its complaint alone: nothing is cleaned
    cascade = channels_last(begin(config, start_from)[0]).to(where)
    lines = [
        f"{config.name}: {config.purpose}",
        "Data: "
        + ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        + "; patients: "
        + ", ".join(f"{len(patients)} {split}" for split, patients in splits.items()),
        f"Batches: {config.data.batch_size} patches of {config.data.patch_size}x{config.data.patch_size} px, "
        f"shared by {counted(processes.count, 'process', 'processes')} on {where}",
    ]
    total = 0.0
    for index, level in enumerate(config.levels):
        if level.steps == 0:
            lines.append(f"Level {index + 1}: {level.network}, kept as it is in the model to start from")
            continue
        module = level_module(cascade, index, config, vgg_weights).to(where)
        module.on_fit_start()
        share = config.data.batch_size // processes.count
        early = min(level.loss.perceptual_from_step, level.steps) if level.loss.perceptual else 0
        early_seconds = time_steps(module, level, share, config.data.patch_size, where, all_terms=False) if early else 0.0
        seconds = time_steps(module, level, share, config.data.patch_size, where, all_terms=True)
        epochs = level.steps // config.steps_per_epoch
        seconds_validating = 2 * _time_slice(module, where) * len(splits["validate"]) * _SLICES_PER_PATIENT * epochs
        spent = (early * early_seconds + (level.steps - early) * seconds) * module.batches_per_step + seconds_validating
        total += spent
        lines.append(
            f"Level {index + 1}: {level.network} predicts {level.predicts.value}, "
            f"{count_parameters(module.network):,} parameters; {level.steps:,} steps in {epochs} epochs, "
            f"{level.steps * config.data.batch_size * module.batches_per_step:,} patches; {_loss_in_words(level)}; "
            f"about {_duration(spent)} ({seconds * 1000:.0f} ms a batch){_memory(where)}"
        )
    lines.append(f"All levels: about {_duration(total)}, once the data are prepared. Nothing was written.")
    return "\n".join(lines)


def time_steps(
    module: LevelTraining,
    level: LevelConfig,
    count: int,
    side: int,
    device: torch.device,
    *,
    all_terms: bool,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds of a step on patches of noise, the median of a few; the weights of the level are spoilt by them."""
    optimizer = module.network_optimizer()
    module.train()
    low = torch.randn(count, 1, side + 2 * module.halo, side + 2 * module.halo, device=device) * 50
    images = Images(torch.zeros_like(low), low)
    if level.loss.lesions:
        some = torch.arange(0, count, LESIONS_EVERY, device=device)
        images = images._replace(lesions=torch.ones_like(low[some]), patch=some)
    precision = usable_precision(level.precision, device)
    low_precision = precision.startswith(("bf16", "16"))
    kind = torch.bfloat16 if precision.startswith("bf16") or device.type == "cpu" else torch.float16

    def step() -> None:
        with torch.autocast(device.type, kind, enabled=low_precision):
            loss = module.step_loss(images, all_terms=all_terms)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return median_seconds(step, clock)


def median_seconds(step: Callable[[], None], clock: Callable[[], float]) -> float:
    """Median of a few steps, without the first."""
    seconds = []
    for _ in range(1 + _TIMED_STEPS):
        start = clock()
        step()
        seconds.append(clock() - start)
    return sorted(seconds[1:])[_TIMED_STEPS // 2]


def _time_slice(module: LevelTraining, device: torch.device) -> float:
    module.eval()
    whole = torch.zeros(1, 1, _SLICE, _SLICE, device=device)
    start = time.perf_counter()
    with torch.no_grad():
        module.denoise(whole)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _memory(device: torch.device) -> str:
    if device.type == "cuda":
        return f", {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of GPU memory"
    if sys.platform == "win32":
        return ""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f", {peak * (1 if sys.platform == 'darwin' else 1024) / 2**30:.1f} GiB of memory"


def _loss_in_words(level: LevelConfig) -> str:
    loss = level.loss
    weights = {"MSE": loss.mse, "L_P": loss.perceptual, "critic": loss.adversarial, "lesions": loss.lesions}
    return "loss " + " + ".join(f"{weight:g} {name}" for name, weight in weights.items() if weight)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 2 * 3600 else f"{seconds / 3600:.1f} h"
