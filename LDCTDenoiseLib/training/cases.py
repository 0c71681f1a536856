"""Training data: normal-dose volumes of a folder, or pairs listed in a CSV, split by patient."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError
from ..simulation.noise_insertion import insert_noise
from ..volumes import VOLUME_SUFFIXES, read_volume, volume_suffix
from .config import DataConfig
from .noise_cache import PreparedVolume, prepare

log = logging.getLogger(__name__)

SPLITS = ("train", "validate", "test")
CSV_COLUMNS = ("patient", "low", "full", "split")


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
    def draw(cls, rng: np.random.Generator, dose_range: tuple[float, float]) -> Degradation:
        """A random dose, log-uniform, and a random kernel: soft, sharp (one time in five each) or between."""
        dose = float(np.exp(rng.uniform(*np.log(dose_range))))
        return cls(dose, float(np.clip(rng.uniform(-1 / 3, 4 / 3), 0, 1)))


class Case(Protocol):
    """A volume that gives regions in both doses."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(slices, rows, columns)."""

    def region(self, where: tuple[int | slice, ...], degradation: Degradation) -> tuple[np.ndarray, np.ndarray]:
        """Normal and low dose of a region, float32 HU."""


@dataclass(frozen=True)
class NoiseInsertedCase:
    """Normal-dose volume; low dose by noise insertion."""

    prepared: PreparedVolume

    @property
    def shape(self) -> tuple[int, ...]:
        return self.prepared.hu.shape

    def region(self, where: tuple[int | slice, ...], degradation: Degradation) -> tuple[np.ndarray, np.ndarray]:
        full = self.prepared.hu[where].astype(np.float32)
        soft, sharp = (self.prepared.noise[(kernel, *where)].astype(np.float32) for kernel in (0, 1))
        noise = soft + degradation.sharp_share * (sharp - soft)
        dose = degradation.dose_fraction
        return full, insert_noise(full, np.float32(np.sqrt((1 - dose) / dose)) * noise)


@dataclass(frozen=True)
class PairedCase:
    """Volumes measured at both doses."""

    full: np.ndarray
    low: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.full.shape

    def region(self, where: tuple[int | slice, ...], degradation: Degradation) -> tuple[np.ndarray, np.ndarray]:
        return self.full[where].astype(np.float32), self.low[where].astype(np.float32)


@dataclass(frozen=True)
class _Row:
    patient: str
    low: Path | None
    full: Path
    split: str


def load_cases(
    data: Path, config: DataConfig, splits: Sequence[str], *, cache: Path, seed: int, device: str = "auto"
) -> dict[str, list[Case]]:
    """The cases of the given splits.

    Args:
        data: a folder of normal-dose volumes (a file is a patient, split by the configuration), or a CSV with the columns
            ``patient,low,full,split``, paths relative to it; an empty ``low`` asks for noise insertion.
        config: names the validation and test patients of a folder.
        splits: which to load.
        cache: folder for prepared noise.
        seed: of the inserted noise.
        device: where to compute the noise.

    Raises:
        InputError: no data, a bad CSV, a patient in two splits, or a pair whose volumes differ in size.
    """
    rows = _csv_rows(data) if data.is_file() else _folder_rows(data, config)
    _check_split(rows)
    cases: dict[str, list[Case]] = {split: [] for split in splits}
    for row in rows:
        if row.split not in cases:
            continue
        full = read_volume(row.full)
        if row.low is None:
            log.info("Preparing %s.", row.patient)
            case: Case = NoiseInsertedCase(prepare(full, cache, seed=seed, device=device))
        else:
            low = read_volume(row.low)
            if low.hu.shape != full.hu.shape:
                raise InputError(
                    f"The pair of {row.patient} differs in size, {low.hu.shape} and {full.hu.shape}: "
                    "give volumes of the same slices."
                )
            case = PairedCase(full.hu, low.hu)
        cases[row.split].append(case)
    return cases


def _folder_rows(folder: Path, config: DataConfig) -> list[_Row]:
    if not folder.is_dir():
        raise InputError(f"The training data {folder} do not exist; give a folder of volumes or a CSV of pairs.")
    rows = []
    for path in sorted(folder.iterdir()):
        suffix = volume_suffix(path)
        if suffix is None:
            continue
        patient = path.name[: -len(suffix)]
        kept = {"validate": config.validate, "test": config.test}
        split = next((name for name, patients in kept.items() if patient in patients), "train")
        rows.append(_Row(patient, None, path, split))
    if not rows:
        raise InputError(f"{folder} holds no volume file ({', '.join(VOLUME_SUFFIXES)}); nothing to train on.")
    absent = sorted({*config.validate, *config.test} - {row.patient for row in rows})
    if absent:
        raise InputError(f"The configuration's split names {absent[0]}, which is not in {folder}.")
    return rows


def _csv_rows(path: Path) -> list[_Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames is None or set(reader.fieldnames) != set(CSV_COLUMNS):
            raise InputError(f"{path.name} must have the columns {','.join(CSV_COLUMNS)}, not {reader.fieldnames}.")
        rows = []
        for line, record in enumerate(reader, 2):
            if record["split"] not in SPLITS or not record["full"] or not record["patient"]:
                raise InputError(
                    f"{path.name}, line {line}: patient and full must be given and split be one of {', '.join(SPLITS)}."
                )
            low = path.parent / record["low"] if record["low"] else None
            rows.append(_Row(record["patient"], low, path.parent / record["full"], record["split"]))
    return rows


def _check_split(rows: list[_Row]) -> None:
    split_of: dict[str, str] = {}
    for row in rows:
        if split_of.setdefault(row.patient, row.split) != row.split:
            raise InputError(f"Patient {row.patient} is in two splits, {split_of[row.patient]} and {row.split}; keep it in one.")
    if "train" not in split_of.values():
        raise InputError("No patient is left to train on; move one into the train split.")
