"""A training run: a cascade trained level by level, resumable at every epoch, ending in a model file and its card.

With several devices, every process runs this file; the first one writes.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import LightningDataModule, Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from ..ct.hu import DEFAULT_SCALE
from ..errors import Code, InputError, OutputError, TrainingError
from ..inference.engine import Denoiser
from ..models.cascade import Cascade
from ..models.level import Level
from ..models.model_card import write_card
from ..models.model_file import load_model, save_model
from ..models.model_info import SUFFIX, ModelInfo
from ..models.networks import initialise
from ..models.networks.layers import channels_last
from ..system.devices import choose_device
from ..system.files import replace_when_complete
from ..version import __version__
from .adversarial import AdversarialTraining
from .callbacks.average_weights import AverageWeights
from .callbacks.divergence import Divergence
from .callbacks.epoch_log import EpochLog
from .callbacks.hold_batch_norm import HoldBatchNorm, estimate_batch_norm
from .callbacks.patience import Patience
from .checkpoint_files import WholeCheckpoints
from .config import TrainingConfig, config_record, load_config
from .level_training import VALIDATION_PSNR, LevelTraining
from .losses.perceptual import PerceptualLoss, load_vgg
from .patches.batches import PatchBatches, ValidationSlices
from .patches.cases import Case, find_training_data, load_cases, patients_by_split
from .patches.cleaning import TargetCleaner
from .patches.samples import Batch, Images
from .precision import usable_precision
from .processes import Processes, find_processes, part_at_the_end

log = logging.getLogger(__name__)

CHECKPOINT = "last.ckpt"
BEST = "best.ckpt"
RUN_RECORD = "run.json"


@dataclass(frozen=True)
class RunFiles:
    """Where a run keeps what it makes."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def record(self) -> Path:
        return self.folder / RUN_RECORD

    def level(self, index: int) -> Path:
        return self.folder / f"level{index + 1}"

    def checkpoint(self, index: int) -> Path:
        return self.level(index) / CHECKPOINT

    def best(self, index: int) -> Path:
        return self.level(index) / BEST

    def model(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"


@dataclass(frozen=True)
class LevelResult:
    """What training a level took: optimiser steps, minutes, the step whose weights were kept, and the precision used."""

    steps: int = 0
    minutes: float = 0.0
    kept_step: int = 0
    precision: str | None = None


class TrainingData(LightningDataModule):
    """New patches every epoch, the same ones for the same seed, level and epoch.

    Args:
        data: as in :func:`train`.
        config: of the run.
        cache: folder for prepared volumes.
        processes: which share of each batch is this process's.
        cleaner: frees targets of their own noise.

    Attributes:
        module: the level in training.
        cases: patients' slices by split, once they are prepared.
    """

    module: LevelTraining

    def __init__(
        self, data: Path, config: TrainingConfig, cache: Path, processes: Processes, cleaner: TargetCleaner | None
    ) -> None:
        super().__init__()
        self.cleaner = cleaner
        self.data = data
        self.config = config
        self.cache = cache
        self.processes = processes
        self.cases: dict[str, list[Case]] = {}

    def prepare_data(self) -> None:
        # Lightning lets the first process of a machine go first; the others find what it leaves in the cache.
        self.setup("fit")

    def setup(self, stage: str) -> None:
        if not self.cases:
            self.cases = load_cases(
                self.data,
                self.config.data,
                ("train", "validate"),
                cache=self.cache,
                seed=self.config.seed,
                cleaner=self.cleaner,
            )

    def batches(self, count: int, epoch: int, share: tuple[int, int] = (0, 1)) -> DataLoader[Any]:
        patches = PatchBatches(
            self.cases["train"],
            self.config.data,
            halo=self.module.halo,
            batches=count,
            seed=[self.config.seed, self.module.index, epoch],
            share=share,
            lesions=self.module.config.loss.lesions > 0,
        )
        return self._loader(patches)

    def batches_for_norm(self) -> DataLoader[Any]:
        """Patches of an epoch that no training reaches, for the statistics of batch norm.

        Every process sees whole batches: norms are not joined on the CPU, nor on any device once the training is over.
        """
        return self.batches(self.config.batch_norm_batches, epoch=2**31)

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.trainer is not None
        count = self.config.steps_per_epoch * self.module.batches_per_step
        return self.batches(count, self.trainer.current_epoch, share=(self.processes.rank, self.processes.count))

    def val_dataloader(self) -> DataLoader[Any]:
        # Every process sees all of them: what depends on the result is then decided alike.
        return self._loader(ValidationSlices(self.cases["validate"]))

    def on_after_batch_transfer(
        self, batch: Batch | tuple[Batch, str, tuple[float, float]], dataloader_index: int
    ) -> Images | tuple[Any, ...]:
        """Noise, flips and rotations are made here, on the device."""
        if isinstance(batch, Batch):
            return batch.images()
        slices, shown, spacing = batch
        images = slices.images()
        return images.full, images.low, shown, spacing

    def _loader(self, dataset: Any) -> DataLoader[Any]:
        # On the CPU the step needs every core; beside a GPU they are idle.
        workers = min(4, os.cpu_count() or 1) if torch.cuda.is_available() else 0
        return DataLoader(dataset, batch_size=None, num_workers=workers, pin_memory=torch.cuda.is_available())


def train(
    config: TrainingConfig,
    data: Path,
    out: Path,
    *,
    resume: bool = False,
    start_from: str | os.PathLike[str] | None = None,
    vgg_weights: str | os.PathLike[str] | None = None,
    cache: Path | None = None,
    device: str = "auto",
    devices: int = 1,
    progress: bool = True,
) -> Path:
    """Train a cascade and write its model file and card.

    Args:
        config: what to train.
        data: folder of normal-dose volumes, or CSV of pairs (see ``cases.load_cases``).
        out: run folder: configuration, checkpoints, ``metrics.csv``, TensorBoard logs, model.
        resume: go on from the run folder's checkpoints.
        start_from: name or file of a model whose weights the levels begin with, as far as it has such levels; the optimiser
            begins anew. A level that its checkpoint holds goes on from there; a run is resumed with the model that it was
            started from.
        vgg_weights: safetensors file of VGG-16; None fetches torchvision's when the loss needs it.
        cache: folder for prepared volumes; None is ``out/cache``.
        device: "auto", "cuda", "cuda:N", "mps" or "cpu".
        devices: how many GPUs, or processes on the CPU, share each batch; under ``torchrun``, it says how many.
        progress: show a progress bar.

    Returns:
        The path of the model file.

    Raises:
        InputError: bad data, a run folder that holds another run, or a model to start from that is not the run's or has other
            levels.
        TrainingError: the training cannot go on; the last good checkpoint is left.
    """
    files = RunFiles(out)
    where = choose_device(device)
    processes = find_processes(devices)
    check_training(config, processes)
    patients = patients_by_split(find_training_data(data, config.data))
    check_validation(config, validated=bool(patients["validate"]))
    cache = cache or out / "cache"
    datamodule = TrainingData(data, config, cache, processes, cleaner_of(config, start_from, where, cache))
    seed_everything(config.seed, workers=True)
    cascade, start = begin(config, start_from)
    if processes.first:
        _open_run(files, config, patients, start, resume=resume)
    with part_at_the_end():
        results = []
        for index in range(len(config.levels)):
            module = level_module(cascade, index, config, vgg_weights) if config.levels[index].steps else None
            results.append(
                _train_level(module, datamodule, files, where, progress=progress, validated=bool(patients["validate"]))
            )
    model = files.model(config.name)
    if not processes.first:
        return model
    training = {
        "config": config_record(config),
        "patients": {split: len(patients[split]) for split in ("train", "validate")},
        "data": "normal-dose volumes with inserted noise" if data.is_dir() else "pairs of a CSV",
        "dose_range": list(config.data.dose_range),
        "steps": [result.steps for result in results],
        "kept_steps": [result.kept_step for result in results],
        "minutes": [round(result.minutes, 1) for result in results],
        "precision": [result.precision for result in results],
        "device": _device_name(where, processes.count),
    }
    if start is not None:
        training["start_from"] = {"name": start.name, "tensor_hash": start.tensor_hash, "steps": start.training.get("steps")}
    info = ModelInfo(config.name, cascade.levels, DEFAULT_SCALE, config.purpose, training)
    info = save_model(cascade, info, model)
    write_card(info, model.with_suffix(".md"))
    return model


def cleaner_of(
    config: TrainingConfig, start_from: str | os.PathLike[str] | None, device: torch.device, cache: Path
) -> TargetCleaner | None:
    """What frees the targets of their own noise, if the configuration asks for it.

    Raises:
        InputError: no model is given to find it with.
    """
    if not config.data.clean:
        return None
    if start_from is None:
        raise InputError("clean frees targets of the noise that a model finds in them; give the model to start from.")
    return TargetCleaner(Denoiser(start_from, str(device), blend=config.data.clean), cache)


def check_training(config: TrainingConfig, processes: Processes) -> None:
    """Refuse what several processes cannot do.

    Raises:
        InputError: a level that one process must train alone, or batches that cannot be shared evenly.
    """
    if processes.count == 1:
        return
    if any(level.loss.adversarial for level in config.levels):
        raise InputError("An adversarial loss is trained on one device; choose one.")
    if config.data.batch_size % processes.count:
        raise InputError(
            f"batch_size is {config.data.batch_size}, which {processes.count} processes cannot share evenly; change one."
        )


def check_validation(config: TrainingConfig, *, validated: bool) -> None:
    """Refuse settings that need validation patients where there are none.

    Raises:
        InputError: a level keeps its best weights or ends early without validation.
    """
    if not validated and any(level.weights == "best" or level.patience for level in config.levels):
        raise InputError(
            "Without validation patients there is no best epoch; move one into the validate split, or set weights: last and "
            "patience: 0."
        )


def new_cascade(config: TrainingConfig) -> Cascade:
    """The cascade of a run at its start."""
    cascade = Cascade([level.level for level in config.levels])
    for index in range(len(config.levels)):
        initialise(cascade.network(index))
    return cascade


def begin(config: TrainingConfig, start_from: str | os.PathLike[str] | None) -> tuple[Cascade, ModelInfo | None]:
    """The cascade of a run at its start, and the description of the model whose weights it has, if any.

    Raises:
        InputError: the model's levels are not the run's, or no model is given for a level of no steps.
    """
    cascade = new_cascade(config)
    if start_from is None:
        if any(level.steps == 0 for level in config.levels):
            raise InputError("A level has steps: 0, which keeps the weights of a model; give the model to start from.")
        if any(level.hold_norm_from_step == 0 for level in config.levels):
            raise InputError("hold_norm_from_step: 0 keeps the batch norm of a model; give the model to start from.")
        return cascade, None
    model, info = load_model(start_from)
    count = min(len(model.levels), len(cascade.levels))
    if model.levels[:count] != cascade.levels[:count]:
        raise InputError(
            f"{info.name} has the levels {_in_words(model.levels)}, the configuration {_in_words(cascade.levels)}; "
            "start from a model whose first levels are the configuration's."
        )
    if any(level.steps == 0 for level in config.levels[count:]):
        raise InputError(f"A level has steps: 0, and {info.name} has no weights for it.")
    for index in range(count):
        cascade.network(index).load_state_dict(model.network(index).state_dict())
    return cascade, info


def _in_words(levels: Sequence[Level]) -> str:
    return ", ".join(f"{level.network} ({level.predicts.value}, sees {level.sees.value})" for level in levels)


def level_module(
    cascade: Cascade, index: int, config: TrainingConfig, vgg_weights: str | os.PathLike[str] | None
) -> LevelTraining:
    """What trains a level, with the losses that its configuration asks for."""
    level = config.levels[index]
    perceptual = None
    if level.loss.perceptual > 0:
        perceptual = PerceptualLoss(load_vgg(vgg_weights, level.loss.vgg_blocks), level.loss.vgg_window)
    if level.loss.adversarial > 0:
        return AdversarialTraining(cascade, index, level, config.window, perceptual, side=config.data.patch_size)
    return LevelTraining(cascade, index, level, config.window, perceptual)


def _open_run(
    files: RunFiles, config: TrainingConfig, patients: Mapping[str, set[str]], start: ModelInfo | None, *, resume: bool
) -> None:
    """Make the run folder, or make sure that the one to resume holds this very run."""
    record = config_record(config)
    before: dict[str, Any] = {}
    if files.config.exists():
        if not resume:
            raise OutputError(f"{files.folder} holds a run already.", Code.RUN_EXISTS)
        # Read as a configuration: an older version's lacks settings that were added since, which then have their defaults.
        if _identity(config_record(load_config(files.config))) != _identity(record):
            raise InputError(
                f"{files.folder} holds a run of other networks, optimisers, patients or seed; choose another folder, "
                "or the configuration that it was started with."
            )
        if files.record.exists():
            before = _record_so_far(files.record)
    start_hash = start.model_hash if start else None
    if before.get("start_from", start_hash) != start_hash:  # an older version's record tells none
        raise InputError(
            f"{files.folder} holds a run that was started from {'another' if before['start_from'] else 'no'} model; start from "
            f"{'that one' if before['start_from'] else 'none'}, or choose another folder."
        )
    told = {
        "seed": config.seed,
        "start_from": start_hash,
        "patients": _patients_so_far(before, patients, files.folder),
    }
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The run folder {files.folder} cannot be made ({error.strerror}); choose another folder.") from error
    with replace_when_complete(files.config) as temporary:
        temporary.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    with replace_when_complete(files.record) as temporary:
        temporary.write_text(json.dumps(_code_versions() | told, indent=2) + "\n", encoding="utf-8")


def _record_so_far(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise InputError(f"{path} is damaged, and whom its run trained on is not known; choose another folder.")
    return record


def _identity(record: dict[str, Any]) -> dict[str, Any]:
    """What must agree for a run to be the same one; steps, rates, weights of losses and how patches are made may be changed."""
    return {
        "levels": [{key: level[key] for key in ("network", "predicts", "sees")} for level in record["levels"]],
        "muon": [level["muon_rate"] > 0 for level in record["levels"]],  # one optimiser's memory is nothing to another
        "adversarial": [level["loss"]["adversarial"] > 0 for level in record["levels"]],  # the critic has an optimiser of its own
        "end_to_end": [level["end_to_end"] for level in record["levels"]],
        "split": [record["data"][part] for part in ("validate", "test")],
        "seed": record["seed"],
    }


def _patients_so_far(before: dict[str, Any], patients: Mapping[str, set[str]], folder: Path) -> dict[str, list[str]]:
    """The patients that each split has, or had before the run was resumed; an older version's record tells none.

    Raises:
        InputError: one of them trains and judges.
    """
    so_far = {split: now.union(before.get("patients", {}).get(split, ())) for split, now in patients.items()}
    for split in ("validate", "test"):
        if both := so_far["train"] & so_far[split]:
            raise InputError(
                f"Patient {min(both)} would both train and {split} in the run of {folder}; move it back to the split that it was "
                "in, or choose another folder."
            )
    return {split: sorted(names) for split, names in so_far.items()}


def _train_level(
    module: LevelTraining | None,
    datamodule: TrainingData,
    files: RunFiles,
    device: torch.device,
    *,
    progress: bool,
    validated: bool,
) -> LevelResult:
    """Train a level in place, from its checkpoint if there is one; None is a level that is kept as it is."""
    if module is None:
        return LevelResult()
    config, processes, index, level = datamodule.config, datamodule.processes, module.index, module.config
    datamodule.module = module
    channels_last(module.cascade)
    checkpoint = files.checkpoint(index)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    epochs = EpochLog(files.level(index) / "metrics.csv")
    callbacks: list[Callback] = [
        Divergence(index + 1),
        epochs,
        ModelCheckpoint(checkpoint.parent, filename=checkpoint.stem, enable_version_counter=False, save_on_train_epoch_end=True),
    ]
    best = None
    if level.weights == "best":
        best = ModelCheckpoint(
            checkpoint.parent,
            filename=Path(BEST).stem,
            monitor=VALIDATION_PSNR,
            mode="max",
            enable_version_counter=False,
            save_weights_only=not level.average,  # else callbacks are not asked, and the average is theirs
        )
        callbacks.insert(0, best)  # before the last checkpoint is saved, whose memory of the best is resumed
    if level.patience:
        callbacks.append(Patience(level.patience))
    if level.hold_norm_from_step is not None:
        callbacks.append(HoldBatchNorm(level.hold_norm_from_step, datamodule.batches_for_norm))
    if level.average:
        callbacks.append(AverageWeights(decay=level.average))
    if progress and processes.first:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    precision = usable_precision(level.precision, device)
    trainer = Trainer(
        **processes.trainer_settings(device),
        precision=precision,  # type: ignore[arg-type]  # Lightning names those that it knows
        gradient_clip_val=level.gradient_clip or None,
        max_steps=level.steps,
        max_epochs=-1,
        limit_val_batches=None if validated else 0,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,  # PatchBatches shares the batches out itself
        logger=TensorBoardLogger(files.folder, name="tensorboard", version=f"level{index + 1}"),
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        sync_batchnorm=device.type == "cuda",  # PyTorch's own refuses the CPU
        enable_progress_bar=progress and processes.first,
        enable_model_summary=False,
        log_every_n_steps=50,
        deterministic="warn",
    )
    module.train()  # Lightning keeps the modes that it finds, and the level before this one ended in evaluation mode
    resumed = checkpoint if checkpoint.exists() else None
    try:
        # Our own checkpoint, written by this run folder; never one from elsewhere.
        trainer.fit(module, datamodule, ckpt_path=resumed, weights_only=False)
    except OSError as error:
        raise TrainingError(
            f"The run folder {files.folder} cannot be written ({error.strerror or error}); the last checkpoint is kept. "
            "Free disk space."
        ) from error
    if trainer.interrupted:
        raise KeyboardInterrupt
    kept_step = trainer.global_step
    if best is not None:
        if best.best_model_score is None:  # resumed at its end
            raise InputError(
                f"Level {index + 1} was trained without weights: best, and none of its epochs was kept as the best; set weights: "
                "last, or more steps."
            )
        state = torch.load(files.best(index), map_location="cpu", weights_only=True)
        module.load_state_dict(state["state_dict"], strict=module.strict_loading)
        kept_step = state["global_step"]
        log.info(
            "Level %d: weights of step %d (%.2f dB at %s).", index + 1, kept_step, best.best_model_score, config.window.label
        )
    held = level.hold_norm_from_step is not None and level.hold_norm_from_step < kept_step
    if config.batch_norm_batches and not held:
        estimate_batch_norm(module, datamodule.batches_for_norm(), trainer.strategy.root_device)
    module.cascade.eval().cpu()
    return LevelResult(trainer.global_step, epochs.seconds / 60, kept_step, precision)


def _code_versions() -> dict[str, Any]:
    return {
        "software_version": __version__,
        "commit": _git_commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _git_commit() -> str | None:
    command: Sequence[str] = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _device_name(device: torch.device, count: int) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {os.cpu_count()} cores"
    return name if count == 1 else f"{count} processes on {name}"
