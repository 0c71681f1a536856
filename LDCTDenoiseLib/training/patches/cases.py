"""Training data: normal-dose volumes of a folder, or pairs listed in a CSV, split by patient."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ...data.pairs_csv import Pair, Source, read_pairs
from ...errors import InputError
from ...volumes.volume_file import VOLUME_SUFFIXES, read_volume, volume_suffix
from ..config import DataConfig
from .noise_cache import PreparedVolume, prepare
from .pair_cache import PreparedPair, prepare_pair
from .samples import InsertedSample, MeasuredSample, Sample

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Degradation:
    """How to make low dose from normal dose; a real pair has its own and ignores this.

    Attributes:
        dose_fraction: share of the dose.
        sharp_share: share of the sharp kernel's noise in a mix of both kernels' (both come from the same rays).
    """

    dose_fraction: float
    sharp_share: float

    @classmethod
    def at(cls, dose: float, kernel: float, dose_range: tuple[float, float]) -> Degradation:
        """The one at a place of the unit square: a log-uniform dose; a soft kernel, a sharp one (a fifth each) or between."""
        low, high = np.log(dose_range)
        return cls(float(np.exp(low + dose * (high - low))), min(1.0, max(0.0, (5 * kernel - 1) / 3)))


class Case(Protocol):
    """A volume that gives regions in both doses."""

    @property
    def measured(self) -> bool:
        """Whether the low dose was measured, and not inserted."""

    @property
    def full(self) -> np.ndarray:
        """Normal dose: (slices, rows, columns) int16 HU."""

    def sample(self, where: tuple[int | slice, ...], degradation: Degradation) -> Sample:
        """A region of one slice, as it is stored."""


@dataclass(frozen=True)
class NoiseInsertedCase:
    """Normal-dose volume; low dose by noise insertion."""

    prepared: PreparedVolume
    measured = False

    @property
    def full(self) -> np.ndarray:
        return self.prepared.hu

    def sample(self, where: tuple[int | slice, ...], degradation: Degradation) -> InsertedSample:
        dose, sharp = degradation.dose_fraction, degradation.sharp_share
        amplitude = np.sqrt((1 - dose) / dose) * np.array([1 - sharp, sharp])
        return InsertedSample(self.prepared.hu[where], self.prepared.noise[(slice(None), *where)], amplitude.astype(np.float32))


@dataclass(frozen=True)
class PairedCase:
    """Volumes measured at both doses."""

    prepared: PreparedPair
    measured = True

    @property
    def full(self) -> np.ndarray:
        return self.prepared.full

    def sample(self, where: tuple[int | slice, ...], degradation: Degradation) -> MeasuredSample:
        return MeasuredSample(self.prepared.full[where], self.prepared.low[where])


def load_cases(data: Path, config: DataConfig, splits: Sequence[str], *, cache: Path, seed: int) -> dict[str, list[Case]]:
    """The cases of the given splits.

    Args:
        data: a folder of normal-dose volumes (a file is a patient, split by the configuration), or a CSV of pairs
            (``data/pairs_csv.py``).
        config: names the validation and test patients of a folder.
        splits: which to load.
        cache: folder for prepared volumes.
        seed: of the inserted noise.

    Raises:
        InputError: no data, a bad CSV, a patient in two splits, or a pair that does not fit together.
    """
    cases: dict[str, list[Case]] = {split: [] for split in splits}
    for pair in find_training_data(data, config):
        if pair.split not in cases:
            continue
        if pair.low is None:
            log.info("Preparing %s.", pair.patient)
            full = read_volume(pair.full.path, series=pair.full.series)
            cases[pair.split].append(NoiseInsertedCase(prepare(full, cache, seed=seed)))
        else:
            cases[pair.split].append(PairedCase(prepare_pair(pair, cache)))
    return cases


def find_training_data(data: Path, config: DataConfig) -> list[Pair]:
    """What there is to train on, before anything is read: see :func:`load_cases`."""
    pairs = read_pairs(data) if data.is_file() else _volumes_of(data, config)
    if not any(pair.split == "train" for pair in pairs):
        raise InputError("No patient is left to train on; move one into the train split.")
    return pairs


def _volumes_of(folder: Path, config: DataConfig) -> list[Pair]:
    if not folder.is_dir():
        raise InputError(f"The training data {folder} do not exist; give a folder of volumes or a CSV of pairs.")
    pairs = []
    for path in sorted(folder.iterdir()):
        suffix = volume_suffix(path)
        if suffix is None:
            continue
        patient = path.name[: -len(suffix)]
        kept = {"validate": config.validate, "test": config.test}
        split = next((name for name, patients in kept.items() if patient in patients), "train")
        pairs.append(Pair(patient, None, Source(path), split))
    if not pairs:
        raise InputError(
            f"{folder} holds no volume file ({', '.join(VOLUME_SUFFIXES)}); nothing to train on. "
            "For pairs of both doses, give the CSV that `ldctdenoise data index` writes."
        )
    absent = sorted({*config.validate, *config.test} - {pair.patient for pair in pairs})
    if absent:
        raise InputError(f"The configuration's split names {absent[0]}, which is not in {folder}.")
    return pairs
