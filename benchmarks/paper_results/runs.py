"""Training of all systems, each in its run folder; what a folder holds already is not done again."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from LDCTDenoiseLib.errors import InputError, TrainingError
from LDCTDenoiseLib.system.files import replace_folder_when_complete
from LDCTDenoiseLib.training.config import TrainingConfig, load_config
from LDCTDenoiseLib.training.train import RunFiles, train

log = logging.getLogger(__name__)

Recipe = Callable[[TrainingConfig], TrainingConfig]
"""A paper's configuration to the one to train with."""


@dataclass(frozen=True)
class Training:
    """What all systems are trained with.

    Attributes:
        csv: patients and split.
        runs: folder of the run folders.
        cache: prepared volumes; one for all, which have the same seed.
        recipe: what to make of the paper's configurations.
        vgg_weights: safetensors file of VGG-16.
        device: where to compute.
    """

    csv: Path
    runs: Path
    cache: Path
    recipe: Recipe
    vgg_weights: str | os.PathLike[str] | None = None
    device: str = "auto"


def train_systems(configs: Sequence[TrainingConfig], how: Training) -> dict[str, str]:
    """Train one after the other; one that fails does not stop the others.

    Args:
        configs: as the papers have them; one that begins like another comes after it.
        how: all are trained.

    Returns:
        What went wrong, by the configuration's name.

    Raises:
        InputError: a run folder holds something else, or the data cannot be used.
    """
    failed: dict[str, str] = {}
    done = []
    runs = [(config, how.recipe(config), RunFiles(how.runs / config.name)) for config in configs]
    # All of them before the first one trains: nobody wants to hear of the last folder after a week.
    finished = {config.name for config, plan, files in runs if is_finished(files, config, plan)}
    for config, plan, files in runs:
        if config.name in finished:
            log.info("%s: is there already.", config.name)
            done.append(load_config(files.config))
            continue
        log.info("%s: trains.", config.name)
        borrow_levels(plan, done, how.runs)
        try:
            train(
                plan,
                how.csv,
                files.folder,
                resume=True,
                vgg_weights=how.vgg_weights,
                cache=how.cache,
                device=how.device,
                progress=sys.stderr.isatty(),
            )
        except TrainingError as error:
            failed[config.name] = str(error)
            log.warning("%s: %s", config.name, error)
        else:
            done.append(plan)
    return failed


def is_finished(files: RunFiles, config: TrainingConfig, plan: TrainingConfig) -> bool:
    """Whether a run folder holds the model: of the plan, or of the paper's whole recipe.

    Raises:
        InputError: it holds a run of another plan, which must neither be shown as this one nor be overwritten.
    """
    if not files.config.exists():
        return False
    found = load_config(files.config)
    done = files.model(config.name).exists()
    if found == plan or (done and found == config):
        return done
    raise InputError(
        f"{files.folder} holds a run of another budget or version than the one that is planned here; move it elsewhere."
    )


def borrow_levels(plan: TrainingConfig, others: Sequence[TrainingConfig], runs: Path) -> None:
    """Give a run that has not begun the levels of the longest finished one that it begins like: C goes on from B.

    What is copied are the checkpoints that training these levels alone has left.
    """
    target = RunFiles(runs / plan.name)
    alike = [other for other in others if begins_like(plan, other)]
    if not alike or target.config.exists():
        return
    longest = max(alike, key=lambda other: len(other.levels))
    for index in range(len(longest.levels)):
        source = RunFiles(runs / longest.name).level(index)
        target.folder.mkdir(parents=True, exist_ok=True)
        if source.exists() and not target.level(index).exists():
            with replace_folder_when_complete(target.level(index), check_old=lambda old: None) as temporary:
                shutil.copytree(source, temporary, dirs_exist_ok=True)
    log.info("%s: goes on from %s.", plan.name, longest.name)


def begins_like(config: TrainingConfig, other: TrainingConfig) -> bool:
    """Whether the first levels of a run are, by seed, data and settings, the other's whole run."""

    def settings(one: TrainingConfig) -> tuple[object, ...]:
        return one.data, one.seed, one.steps_per_epoch, one.batch_norm_batches, one.validation_window

    count = len(other.levels)
    return count < len(config.levels) and config.levels[:count] == other.levels and settings(config) == settings(other)
