"""Batches of training patches, each a function of the seed and its number alone: a resumed run sees the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from ..errors import InputError
from .cases import Case, Degradation
from .config import DataConfig

AIR_BELOW_HU = -800.0
TISSUE_SHARE = 0.01
_TRIES = 100


class PatchBatches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Batch ``i`` is a pair (normal dose, low dose) of (batch, 1, side, side) float32 HU.

    Patients are drawn with equal chance, then slice, place, one of the eight flips and rotations, dose and kernel.
    Patches of air alone are drawn again.

    Args:
        cases: training patients.
        config: patch size, batch size and dose range.
        halo: extra pixels on every side of a patch.
        batches: length of the data set.
        seed: numbers that make these batches differ from others, such as (run's seed, level, epoch).
    """

    def __init__(self, cases: Sequence[Case], config: DataConfig, *, halo: int, batches: int, seed: Sequence[int]) -> None:
        self.cases = cases
        self.config = config
        self.side = config.patch_size + 2 * halo
        self.batches = batches
        self.seed = list(seed)
        for case in cases:
            if min(case.shape[1:]) < self.side:
                raise InputError(
                    f"A training volume's slices are {case.shape[1]}x{case.shape[2]}, smaller than a patch and its halo "
                    f"({self.side} pixels); leave it out or lower patch_size."
                )

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if index >= self.batches:
            raise IndexError(index)
        rng = np.random.default_rng([*self.seed, index])
        pairs = [self._patch(rng) for _ in range(self.config.batch_size)]
        full, low = (torch.from_numpy(np.stack(patches)[:, None]) for patches in zip(*pairs, strict=True))
        return full, low

    def _patch(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        for _ in range(_TRIES):
            case = self.cases[int(rng.integers(len(self.cases)))]
            slices, rows, columns = case.shape
            row, column = (int(rng.integers(length - self.side + 1)) for length in (rows, columns))
            where = (int(rng.integers(slices)), slice(row, row + self.side), slice(column, column + self.side))
            full, low = case.region(where, Degradation.draw(rng, self.config.dose_range))
            turns, flip = int(rng.integers(4)), rng.integers(2)
            if np.mean(full > AIR_BELOW_HU) < TISSUE_SHARE:
                continue
            full, low = (np.rot90(patch, turns) for patch in (full, low))
            if flip:
                full, low = full[:, ::-1], low[:, ::-1]
            return np.ascontiguousarray(full), np.ascontiguousarray(low)
        raise InputError("The training volumes hold hardly anything but air; check that they are CT in HU.")


class ValidationSlices(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Whole slices spread evenly over each validation volume, at fixed doses: pairs of (1, 1, rows, columns), HU."""

    slices_per_case = 4
    degradations = (Degradation(0.25, 0.0), Degradation(0.10, 1.0))

    def __init__(self, cases: Sequence[Case]) -> None:
        self.items = [
            (case, int(z), degradation)
            for case in cases
            for z in np.unique(np.linspace(0, case.shape[0] - 1, self.slices_per_case + 2)[1:-1].round())
            for degradation in self.degradations
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        case, z, degradation = self.items[index]
        full, low = case.region((z, slice(None), slice(None)), degradation)
        return torch.from_numpy(full)[None, None], torch.from_numpy(low)[None, None]
