"""Fine-tune a model on a user's own scans, and keep it only if it is better on slices that it was not shown."""

from __future__ import annotations

import logging
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import InputError, OutputError
from ..inference.engine import Denoiser
from ..models.model_card import write_card
from ..models.model_file import load_model, save_model
from ..models.model_info import SUFFIX, ModelInfo, find_model, read_info
from ..simulation.kernel import MeasuredKernel, measure_kernel
from ..system.devices import choose_device
from ..system.files import check_writable
from ..training.config import DataConfig, LevelConfig, LossConfig, TrainingConfig
from ..training.patches.cases import load_cases
from ..training.plan import time_steps
from ..training.train import begin, cleaner_of, level_module, train
from ..volumes.volume_file import write_volume
from .comparison import DOSE_FRACTION, Score, low_dose_pair, score
from .scans import SplitScan, find_scans

log = logging.getLogger(__name__)

EPOCHS = 4
FEWEST_STEPS = 40
_SHARE_FOR_STEPS = 0.9
"""Of the time that is left for training; the rest is for checkpoints and what a first step costs more."""

DATA = DataConfig(
    dose_range=(0.08, 0.6),
    full_dose=0.04,
    electronics=0.2,
    inserts=0.35,
    slab=3,
    noise_from_elsewhere=0.2,
    clean=0.7,
    own_kernel=0.8,
)
"""As in the configuration `default`, but most of the noise has the texture of the scans themselves."""
LOSS = LossConfig(noise_weighted=True, lesions=1.0)


@dataclass(frozen=True)
class Adaptation:
    """What was tried.

    Attributes:
        model: the file that was written; None where the model was not better.
        before, after: on the slices that were held back.
        steps: that were trained.
        minutes: that it all took.
        scans: their names.
    """

    model: Path | None
    before: Score
    after: Score
    steps: int
    minutes: float
    scans: tuple[str, ...]


def adapt(
    scans: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    minutes: float = 20.0,
    start_from: str | os.PathLike[str] = "default",
    device: str = "auto",
    seed: int = 1,
    overwrite: bool = False,
    progress: bool = False,
) -> Adaptation:
    """Fine-tune the first level of a model on normal-dose scans, with noise of the texture and level that they show.

    A quarter of the slices is held back: before and after, the model denoises them with the noise of a quarter of the dose.
    The result is written only if its gain is higher, and a small lesion stands out from the noise that is left as well as before.

    Args:
        scans: volume file, DICOM series, or folder of either, at normal dose.
        out: model file to write, with its card beside it.
        minutes: for all of it.
        start_from: name or file of the model to begin with.
        device: "auto", "cuda", "cuda:N", "mps" or "cpu".
        seed: of the patches and the noise.
        overwrite: replace an output that exists.
        progress: show a progress bar.

    Raises:
        InputError: the scans cannot be used, or the time is too short.
        OutputError: the output cannot be written.
        MissingExtraError: the extra ``train`` is not installed.
    """
    start = time.monotonic()
    target = Path(out)
    if target.suffix != SUFFIX:
        raise OutputError(f"The output {target.name} must end in {SUFFIX}.")
    check_writable(target, overwrite=overwrite)
    check_writable(target.with_suffix(".md"), overwrite=overwrite)
    split = find_scans(Path(scans))
    # Seeds of their own: `seed` is the training noise's, and a model must not be judged by noise that it has learnt.
    pairs = [low_dose_pair(scan.name, scan.held_back, _kernel(scan), own) for own, scan in enumerate(split, seed + 1)]
    judging = time.monotonic()
    before = score(Denoiser(start_from, device), pairs)
    judging = time.monotonic() - judging
    log.info("Before: %s.", in_words(before))
    with tempfile.TemporaryDirectory(prefix="ldctdenoise-adapt-") as work:
        data = _training_data(split, Path(work) / "scans")
        cache = Path(work) / "cache"
        config = _config(target.stem, read_info(find_model(start_from)), seed)
        where = choose_device(device)
        load_cases(data, config.data, ("train",), cache=cache, seed=seed, cleaner=cleaner_of(config, start_from, where, cache))
        cascade, _ = begin(config, start_from)
        module = level_module(cascade, 0, config, None).to(where)
        batch, side = config.data.batch_size, config.data.patch_size
        seconds = time_steps(module, config.levels[0], batch, side, where, all_terms=True)
        left = minutes * 60 - (time.monotonic() - start) - judging
        epoch = int(left * _SHARE_FOR_STEPS / seconds) // EPOCHS
        steps = epoch * EPOCHS
        if steps < FEWEST_STEPS:
            needed = math.ceil((FEWEST_STEPS * seconds / _SHARE_FOR_STEPS + minutes * 60 - left) / 60)
            raise InputError(f"{minutes:g} minutes are too short to learn anything here; give at least {needed}.")
        log.info("%d steps of %.1f s.", steps, seconds)
        config = replace(config, steps_per_epoch=epoch, levels=(replace(config.levels[0], steps=steps), *config.levels[1:]))
        adapted = train(config, data, Path(work) / "run", start_from=start_from, cache=cache, device=device, progress=progress)
        after = score(Denoiser(adapted, device), pairs)
        done = Adaptation(
            target if after.better_than(before) else None,
            before,
            after,
            steps,
            (time.monotonic() - start) / 60,
            tuple(scan.name for scan in split),
        )
        if done.model:
            _keep(adapted, done.model, done, overwrite=overwrite)
    return done


def in_words(judged: Score) -> str:
    """The figures of a score as a line tells them."""
    return (
        f"gain {judged.gain_db:.2f} dB, noise left {judged.noise_left:.2f} (90th percentile), "
        f"signal kept {judged.signal_kept:.2f} (20 HU, 4 mm)"
    )


def _kernel(scan: SplitScan) -> MeasuredKernel:
    return measure_kernel(np.concatenate([part.hu for part in scan.train]), scan.held_back.spacing)


def _training_data(scans: Sequence[SplitScan], folder: Path) -> Path:
    """The parts to train on, as files."""
    folder.mkdir()
    for number, scan in enumerate(scans, 1):
        for part, slices in enumerate(scan.train, 1):
            write_volume(slices, folder / f"{number}-{scan.name.split('.')[0]}-{part}.nrrd")
    return folder


def _config(name: str, model: ModelInfo, seed: int) -> TrainingConfig:
    """How the first level goes on; the others are kept."""
    first, *others = model.levels
    level = LevelConfig(
        first.network,
        first.predicts,
        FEWEST_STEPS,
        precision="bf16-mixed",
        last_layer_rate=0.01,
        muon_rate=0.05,
        schedule="cosine",
        hold_norm_from_step=0,
        average=0.99,
        loss=LOSS,
    )
    kept = (LevelConfig(other.network, other.predicts, 0, other.sees) for other in others)
    purpose = f"{model.name}, adapted to scans of one site."
    return TrainingConfig(name, purpose, (level, *kept), DATA, seed, FEWEST_STEPS, batch_norm_batches=20)


def _keep(adapted: Path, target: Path, done: Adaptation, *, overwrite: bool) -> None:
    cascade, info = load_model(adapted)
    columns = ["", "gain at C50/W400, dB", "noise left, 90th percentile", "signal kept, 20 HU, 4 mm"]
    rows = [
        [name, f"{one.gain_db:.2f}", f"{one.noise_left:.2f}", f"{one.signal_kept:.2f}"]
        for name, one in (("before", done.before), ("after", done.after))
    ]
    note = f"slices of {', '.join(done.scans)} that were held back, dose {DOSE_FRACTION:g}."
    metrics = {"command": "ldctdenoise adapt", "note": note, "columns": columns, "rows": rows}
    training = info.training | {"patients": {"train": len(done.scans), "validate": 0}}
    info = save_model(cascade, replace(info, training=training, metrics=metrics), target, overwrite=overwrite)
    write_card(info, target.with_suffix(".md"), overwrite=overwrite)
