"""Training data: normal-dose volumes of a folder, or pairs listed in a CSV, split by patient."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ...ct.hu_check import check_ct
from ...data.pairs_csv import SPLITS, Pair, Source, read_pairs
from ...errors import InputError
from ...simulation.kernel import KERNELS, ReconstructionKernel, measure_kernel, random_kernel
from ...volumes.volume_file import VOLUME_SUFFIXES, read_volume, volume_suffix
from ..config import DataConfig
from .cleaning import TargetCleaner
from .noise_cache import AS_SCANNED, PreparedVolume, prepare
from .pair_cache import PreparedPair, prepare_pair
from .samples import InsertedSample, MeasuredSample, Sample
from .stored_array import AnyArray

log = logging.getLogger(__name__)

Region = tuple[int, slice, slice]
QUIET_HU, LOUD_HU = 8.0, 20.0
"""Own noise below and above which patients are drawn no more and no less often."""


ELECTRONICS_AT_DOSE = 0.1
"""Dose fraction at which ``Degradation.electronics`` is told."""
ELECTRONICS = (0.003, 3.0)
LOUDEST_KERNEL = 2.0
"""Most times that a kernel makes noise louder than the soft one does; scanners' users give bone kernels more dose."""


@dataclass(frozen=True)
class Degradation:
    """How to make low dose from normal dose; a real pair has its own and ignores this.

    Attributes:
        dose_fraction: share of the dose.
        kernel: reconstruction kernel of the inserted noise.
        electronics: variance of the electronic noise in soft tissue, in variances of the photons' noise, at a tenth of the
            dose; 0 is none, 1 and more makes streaks.
    """

    dose_fraction: float
    kernel: ReconstructionKernel
    electronics: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator, config: DataConfig, pixel_mm: float) -> Degradation:
        """A log-uniform dose, or now and then the full one; any kernel; electronic noise in some patches."""
        low, high = np.log(config.dose_range)
        dose = 1.0 if rng.random() < config.full_dose else float(np.exp(rng.uniform(low, high)))
        strength = float(np.exp(rng.uniform(*np.log(ELECTRONICS))))
        # Without it nothing is drawn: runs of before it keep their patches.
        by_pixel = config.kernel_by_pixel > 0 and rng.random() < config.kernel_by_pixel
        kernel = random_kernel(rng, pixel_mm if by_pixel else None)
        return cls(dose, kernel, strength * (rng.random() < config.electronics))

    def amplitudes(self) -> np.ndarray:
        """(2,) float32: factors on a prepared volume's noises."""
        dose, at = self.dose_fraction, ELECTRONICS_AT_DOSE
        growth = (1 + dose) / dose / ((1 + at) / at)
        return np.sqrt((1 - dose) / dose * np.array([1.0, self.electronics * growth])).astype(np.float32)

    def window(self, rows: int, columns: int, spacing: tuple[float, float]) -> np.ndarray:
        """The kernel as a filter of images of this size: (rows, columns // 2 + 1) float32, for ``rfft2``."""
        frequency = np.hypot(np.fft.fftfreq(rows, spacing[0])[:, None], np.fft.rfftfreq(columns, spacing[1])[None, :])
        window, soft = self.kernel.window(frequency), KERNELS["soft"].window(frequency)
        # The bare ramp's noise has a power in proportion to the frequency.
        loudness = np.sqrt((frequency * window**2).sum() / (frequency * soft**2).sum())
        return (window * min(1.0, LOUDEST_KERNEL / loudness)).astype(np.float32)


class Case(Protocol):
    """Neighbouring slices that give regions in both doses."""

    @property
    def share(self) -> float:
        """How often it is drawn, in relation to other cases."""

    @property
    def measured(self) -> bool:
        """Whether the low dose was measured, and not inserted."""

    @property
    def full(self) -> AnyArray:
        """Normal dose: (slices, rows, columns) int16 HU."""

    @property
    def spacing(self) -> tuple[float, float]:
        """(rows, columns) in mm."""

    def sample(self, where: Region, degradation: Degradation, margin: int = 0) -> Sample:
        """A region of one slice, as it is stored; noise comes with a margin of so many pixels around it."""


@dataclass(frozen=True)
class NoiseInsertedCase:
    """Normal-dose slices; low dose by noise insertion.

    Attributes:
        share: how often it is drawn, in relation to other cases.
        own_noise: (slices, rows, columns) int16, what the targets are freed of; None leaves them as scanned.
        kernel: the scan's own, where it was measured.
    """

    prepared: PreparedVolume
    share: float = 1.0
    own_noise: AnyArray | None = None
    kernel: ReconstructionKernel | None = None
    measured = False

    @property
    def full(self) -> AnyArray:
        return self.prepared.hu

    @property
    def spacing(self) -> tuple[float, float]:
        return self.prepared.spacing

    def sample(self, where: Region, degradation: Degradation, margin: int = 0) -> InsertedSample:
        z, rows, columns = where
        around_rows, around_columns = (slice(axis.start - margin, axis.stop + margin) for axis in (rows, columns))
        noise = self.prepared.noise[:, z, around_rows, around_columns]
        window = degradation.window(noise.shape[1], noise.shape[2], self.spacing)
        full = self.prepared.hu[where]
        own_noise = np.zeros_like(full) if self.own_noise is None else self.own_noise[where]
        return InsertedSample(full, noise, degradation.amplitudes(), window, own_noise)


@dataclass(frozen=True)
class PairedCase:
    """Volumes measured at both doses."""

    prepared: PreparedPair
    share: float = 1.0
    measured = True

    @property
    def full(self) -> AnyArray:
        return self.prepared.full

    @property
    def spacing(self) -> tuple[float, float]:
        return self.prepared.spacing

    def sample(self, where: Region, degradation: Degradation, margin: int = 0) -> MeasuredSample:
        return MeasuredSample(self.prepared.full[where], self.prepared.low[where])


def load_cases(
    data: Path,
    config: DataConfig,
    splits: Sequence[str],
    *,
    cache: Path,
    seed: int,
    cleaner: TargetCleaner | None = None,
) -> dict[str, list[Case]]:
    """The cases of the given splits.

    Args:
        data: a folder of normal-dose volumes (a file is a patient, split by the configuration), or a CSV of pairs
            (``data/pairs_csv.py``).
        config: names the validation and test patients of a folder, and how training patients are varied.
        splits: which to load.
        cache: folder for prepared volumes.
        seed: of the inserted noise.
        cleaner: frees the training's targets of their own noise, where noise is inserted.

    Raises:
        InputError: no data, a bad CSV, a patient in two splits, a volume that holds NaN or is not in HU, or a pair that does not
            fit together.
    """
    cases: dict[str, list[Case]] = {split: [] for split in splits}
    for pair in find_training_data(data, config):
        if pair.split not in cases:
            continue
        if pair.low is None:
            log.info("Preparing %s.", pair.patient)
            full = read_volume(pair.full.path, series=pair.full.series)
            check_ct(full.hu, full.padding)
            variety = config.variety if pair.split == "train" else AS_SCANNED
            blocks = prepare(full, cache, seed=seed, variety=variety)
            kernel = measure_kernel(full.hu, full.spacing) if config.own_kernel and pair.split == "train" else None
            cases[pair.split].extend(shared_out(blocks, cleaner if pair.split == "train" else None, kernel))
        else:
            cases[pair.split].append(PairedCase(prepare_pair(pair, cache)))
    return cases


def shared_out(
    blocks: Sequence[PreparedVolume], cleaner: TargetCleaner | None = None, kernel: ReconstructionKernel | None = None
) -> list[NoiseInsertedCase]:
    """The blocks of a patient: drawn the more often the less noise the scan has of its own, which is the target's too."""
    quietness = QUIET_HU / min(max(blocks[0].own_noise_hu, QUIET_HU), LOUD_HU)
    slices = sum(len(block.hu) for block in blocks)
    return [
        NoiseInsertedCase(block, quietness * len(block.hu) / slices, cleaner.own_noise(block.hu[:]) if cleaner else None, kernel)
        for block in blocks
    ]


def find_training_data(data: Path, config: DataConfig) -> list[Pair]:
    """What there is to train on, before anything is read: see :func:`load_cases`."""
    pairs = read_pairs(data) if data.is_file() else _volumes_of(data, config)
    if not any(pair.split == "train" for pair in pairs):
        raise InputError("No patient is left to train on; move one into the train split.")
    return pairs


def patients_by_split(pairs: Sequence[Pair]) -> dict[str, set[str]]:
    """The patients of each split."""
    return {split: {pair.patient for pair in pairs if pair.split == split} for split in SPLITS}


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
        raise InputError(
            f"The configuration's split names {absent[0]}, which is not in {folder}. Give a CSV (patient,low,full,split; "
            "low may be empty) instead of the folder, or name your patients in a copy of the configuration (data: validate)."
        )
    return pairs
