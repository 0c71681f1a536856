"""Batches of training patches, each a function of the seed and its number alone: a resumed run sees the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from ...errors import InputError
from ..config import DataConfig
from .cases import Case, Degradation, NoiseInsertedCase
from .inserts import DRAWS_PER_PATCH
from .samples import ORIENTATIONS, Batch, InsertedSample, Sample, collate

AIR_BELOW_HU = -800.0
TISSUE_SHARE = 0.01
_TRIES = 100
_DRAWS = 7
"""Random numbers of a patch: case, slice, row, column, dose, kernel, orientation."""
_MIXING_DRAWS = 6
"""More of them: thickness of the slab, whether the noise is from elsewhere, and that place: case, slice, row, column."""


class PatchBatches(Dataset[Batch]):
    """Batch ``i`` of patches: (batch, side, side), as it is stored.

    Patients are drawn with equal chance, then slice, place, one of the eight flips and rotations, dose, kernel and inserts.
    Patches of air alone are drawn again. A scan at normal dose has noise of its own, and a network that always finds it
    beneath as much inserted noise learns to leave that much of any noise: a slab has less of it, and noise from elsewhere
    may be that of a larger patient. A process of several sees its share of each batch; all shares together are the
    batch that a single process would see.

    Args:
        cases: training patients.
        config: patch size, batch size, dose range and inserts.
        halo: extra pixels on every side of a patch.
        batches: length of the data set.
        seed: numbers that make these batches differ from others, such as (run's seed, level, epoch).
        share: (number of this process, how many there are).
    """

    def __init__(
        self,
        cases: Sequence[Case],
        config: DataConfig,
        *,
        halo: int,
        batches: int,
        seed: Sequence[int],
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.cases = cases
        self._inserted = [case for case in cases if isinstance(case, NoiseInsertedCase)]
        self.config = config
        self.side = config.patch_size + 2 * halo
        self.batches = batches
        self.seed = list(seed)
        process, processes = share
        if config.batch_size % processes:
            raise InputError(f"batch_size is {config.batch_size}, which {processes} processes cannot share evenly; change one.")
        each = config.batch_size // processes
        self.numbers = range(process * each, (process + 1) * each)
        for case in cases:
            rows, columns = case.full.shape[1:]
            if min(rows, columns) < self.side:
                raise InputError(
                    f"A training volume's slices are {rows}x{columns}, smaller than a patch and its halo "
                    f"({self.side} pixels); leave it out or lower patch_size."
                )

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> Batch:
        if index >= self.batches:
            raise IndexError(index)
        rng = np.random.default_rng([*self.seed, index])
        draws = rng.random((self.config.batch_size, _DRAWS))
        inserts = None
        if self.config.inserts:
            of_batch = rng.random((self.config.batch_size, DRAWS_PER_PATCH))
            inserts = of_batch[self.numbers.start : self.numbers.stop], self.config.inserts
        mixing: list[np.ndarray | None] = [None] * self.config.batch_size
        if self.config.slab > 1 or self.config.noise_from_elsewhere:
            mixing = list(rng.random((self.config.batch_size, _MIXING_DRAWS)))
        patches = [self._patch(draws[number], mixing[number], [*self.seed, index, number]) for number in self.numbers]
        return collate([sample for sample, _ in patches], [orientation for _, orientation in patches], inserts)

    def _patch(self, draw: np.ndarray, mixing: np.ndarray | None, seed: list[int]) -> tuple[Sample, int]:
        for attempt in range(_TRIES):
            if attempt:
                draw = np.random.default_rng([*seed, attempt]).random(_DRAWS)
            in_case, *place, dose, kernel, orientation = draw.tolist()
            case = self.cases[int(in_case * len(self.cases))]
            where = self._where(case, place)
            if np.count_nonzero(case.full[where] > AIR_BELOW_HU) >= TISSUE_SHARE * self.side**2:
                degradation = Degradation.at(dose, kernel, self.config.dose_range)
                if mixing is not None and isinstance(case, NoiseInsertedCase):
                    sample: Sample = self._mixed(case, where, degradation, mixing)
                else:
                    sample = case.sample(where, degradation)
                return sample, int(orientation * ORIENTATIONS)
        raise InputError("The training volumes hold hardly anything but air; check that they are CT in HU.")

    def _where(self, case: Case, place: Sequence[float]) -> tuple[int, slice, slice]:
        """The region of a patch at a place in the unit cube."""
        in_slices, in_rows, in_columns = place
        slices, rows, columns = case.full.shape
        row, column = (int(at * (length - self.side + 1)) for at, length in ((in_rows, rows), (in_columns, columns)))
        return int(in_slices * slices), slice(row, row + self.side), slice(column, column + self.side)

    def _mixed(
        self, case: NoiseInsertedCase, where: tuple[int, slice, slice], degradation: Degradation, draw: np.ndarray
    ) -> InsertedSample:
        """A sample as a slab, with the noise of elsewhere where that is louder, or both."""
        thickness, elsewhere, in_case, *place = draw.tolist()
        sample = case.sample(where, degradation)
        if elsewhere < self.config.noise_from_elsewhere:
            other = self._inserted[int(in_case * len(self._inserted))]
            noise = other.sample(self._where(other, place), degradation).noise
            if noise.std(dtype=np.float32) > sample.noise.std(dtype=np.float32):
                sample = sample._replace(noise=noise)
        z, *region = where
        slab = case.full[(slice(z, z + 1 + int(thickness * self.config.slab)), *region)]
        return sample._replace(full=np.rint(slab.mean(axis=0)).astype(np.int16))


class ValidationSlices(Dataset[tuple[Batch, str]]):
    """Whole slices spread evenly over each validation volume, each a batch of its own with what it shows.

    Those with inserted noise come at fixed doses, named ``dose_0.25`` and ``dose_0.10``; pairs as they are, named ``pairs``.
    """

    slices_per_case = 4
    degradations = (Degradation(0.25, 0.0), Degradation(0.10, 1.0))

    def __init__(self, cases: Sequence[Case]) -> None:
        self.items = [
            (case, int(z), degradation)
            for case in cases
            for z in np.unique(np.linspace(0, len(case.full) - 1, self.slices_per_case + 2)[1:-1].round())
            for degradation in (self.degradations[:1] if case.measured else self.degradations)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Batch, str]:
        case, z, degradation = self.items[index]
        name = "pairs" if case.measured else f"dose_{degradation.dose_fraction:.2f}"
        return collate([case.sample((z, slice(None), slice(None)), degradation)], [0]), name
