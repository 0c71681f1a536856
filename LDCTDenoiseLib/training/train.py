"""A training run: a cascade trained level by level, resumable at every epoch, ending in a model file and its card."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import LightningDataModule, Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from ..cascade import Cascade
from ..devices import choose_device
from ..errors import InputError
from ..files import replace_when_complete
from ..hu import DEFAULT_SCALE
from ..model_card import write_card
from ..model_file import save_model
from ..model_info import SUFFIX, ModelInfo
from ..networks import initialise
from ..networks.layers import channels_last
from ..version import __version__
from .cases import Case, load_cases
from .config import TrainingConfig, config_record
from .epoch_log import EpochLog
from .level_training import LevelTraining
from .patches import PatchBatches, ValidationSlices
from .perceptual import PerceptualLoss, load_vgg

log = logging.getLogger(__name__)

CHECKPOINT = "last.ckpt"
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

    def model(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"


class LevelData(LightningDataModule):
    """New patches every epoch, the same ones for the same seed, level and epoch."""

    def __init__(self, cases: dict[str, list[Case]], config: TrainingConfig, index: int, halo: int) -> None:
        super().__init__()
        self.cases = cases
        self.config = config
        self.index = index
        self.halo = halo

    def batches(self, count: int, epoch: int) -> DataLoader[Any]:
        patches = PatchBatches(
            self.cases["train"],
            self.config.data,
            halo=self.halo,
            batches=count,
            seed=[self.config.seed, self.index, epoch],
        )
        return self._loader(patches)

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.trainer is not None
        return self.batches(self.config.steps_per_epoch, self.trainer.current_epoch)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(ValidationSlices(self.cases["validate"]))

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
    vgg_weights: str | os.PathLike[str] | None = None,
    cache: Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Path:
    """Train a cascade and write its model file and card.

    Args:
        config: what to train.
        data: folder of normal-dose volumes, or CSV of pairs (see ``cases.load_cases``).
        out: run folder: configuration, checkpoints, ``metrics.csv``, TensorBoard logs, model.
        resume: go on from the run folder's checkpoints.
        vgg_weights: safetensors file of VGG-16; None fetches torchvision's when the loss needs it.
        cache: folder for prepared noise; None is ``out/cache``.
        device: "auto", "cuda", "cuda:N", "mps" or "cpu".
        progress: show a progress bar.

    Returns:
        The path of the model file.

    Raises:
        InputError: bad data, or a run folder that holds another run.
    """
    files = RunFiles(out)
    where = choose_device(device)
    _open_run(files, config, resume)
    cases = load_cases(
        data, config.data, ("train", "validate"), cache=cache or out / "cache", seed=config.seed, device=str(where)
    )
    seed_everything(config.seed, workers=True)
    cascade = Cascade([level.level for level in config.levels])
    for index in range(len(config.levels)):
        initialise(cascade.network(index))
    minutes = []
    for index in range(len(config.levels)):
        minutes.append(_train_level(cascade, index, config, cases, files, where, vgg_weights, progress))

    training = {
        "config": config_record(config),
        "patients": {split: len(members) for split, members in cases.items()},
        "data": "normal-dose volumes with inserted noise" if data.is_dir() else "pairs of a CSV",
        "dose_range": list(config.data.dose_range),
        "steps": [level.steps for level in config.levels],
        "minutes": [round(m, 1) for m in minutes],
        "device": _device_name(where),
    }
    info = ModelInfo(config.name, cascade.levels, DEFAULT_SCALE, config.purpose, training)
    info = save_model(cascade, info, files.model(config.name))
    write_card(info, files.model(config.name).with_suffix(".md"))
    return files.model(config.name)


def _open_run(files: RunFiles, config: TrainingConfig, resume: bool) -> None:
    """Make the run folder, or make sure that the one to resume holds this very run."""
    record = config_record(config)
    if files.config.exists():
        if not resume:
            raise InputError(f"{files.folder} holds a run already; pass --resume to go on with it, or choose another --out.")
        if _identity(yaml.safe_load(files.config.read_text(encoding="utf-8"))) != _identity(record):
            raise InputError(
                f"{files.folder} holds a run of other networks or data settings; choose another --out, "
                "or the configuration that it was started with."
            )
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The run folder {files.folder} cannot be made ({error.strerror}); choose another --out.") from error
    with replace_when_complete(files.config) as temporary:
        temporary.write_text(yaml.safe_dump(record, sort_keys=False), encoding="utf-8")
    with replace_when_complete(files.record) as temporary:
        temporary.write_text(json.dumps(_code_versions() | {"seed": config.seed}, indent=2) + "\n", encoding="utf-8")


def _identity(record: dict[str, Any]) -> dict[str, Any]:
    """What must agree for a run to be the same one; steps and rates may be changed to go on for longer."""
    return {
        "levels": [{key: level[key] for key in ("network", "predicts", "sees")} for level in record["levels"]],
        "data": record["data"],
        "seed": record["seed"],
    }


def _train_level(
    cascade: Cascade,
    index: int,
    config: TrainingConfig,
    cases: dict[str, list[Case]],
    files: RunFiles,
    device: torch.device,
    vgg_weights: str | os.PathLike[str] | None,
    progress: bool,
) -> float:
    """Train one level in place, from its checkpoint if there is one; minutes that it took in all."""
    level = config.levels[index]
    perceptual = None
    if level.loss.perceptual > 0:
        perceptual = PerceptualLoss(load_vgg(vgg_weights, level.loss.vgg_blocks), level.loss.vgg_window)
    module = LevelTraining(cascade, index, level, perceptual)
    channels_last(cascade)
    datamodule = LevelData(cases, config, index, module.halo)
    checkpoint = files.checkpoint(index)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    epochs = EpochLog(files.level(index) / "metrics.csv")
    callbacks: list[Callback] = [
        epochs,
        ModelCheckpoint(checkpoint.parent, filename=checkpoint.stem, enable_version_counter=False, save_on_train_epoch_end=True),
    ]
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=10))
    trainer = Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision=level.precision,  # type: ignore[arg-type]  # any string; Lightning names the ones it knows
        max_steps=level.steps,
        max_epochs=-1,
        limit_val_batches=None if cases["validate"] else 0,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        logger=TensorBoardLogger(files.folder, name="tensorboard", version=f"level{index + 1}"),
        callbacks=callbacks,
        enable_progress_bar=progress,
        enable_model_summary=False,
        log_every_n_steps=50,
        deterministic="warn",
    )
    module.train()  # Lightning keeps the modes that it finds, and the level before this one ended in evaluation mode
    resumed = checkpoint if checkpoint.exists() else None
    # Our own checkpoint, written by this run folder; never one from elsewhere.
    trainer.fit(module, datamodule, ckpt_path=resumed, weights_only=False)
    if trainer.interrupted:
        raise KeyboardInterrupt
    _estimate_batch_norm(module, datamodule, config.batch_norm_batches, device)
    cascade.eval().cpu()
    return epochs.seconds / 60


def _estimate_batch_norm(module: LevelTraining, data: LevelData, batches: int, device: torch.device) -> None:
    """Estimate the trained network's batch-norm statistics anew over many batches, in float32.

    The running ones wobble with the last few batches, and were taken in the training's precision.
    """
    module.to(device)
    norms = [m for m in module.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    module.train()
    with torch.no_grad():
        # An epoch that no training reaches: patches of its own.
        for _, low in data.batches(batches, epoch=2**31):
            module.denoise(low.to(device), module.halo)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


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


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {os.cpu_count()} cores"
