"""Batches of training patches, each a function of the seed and its number alone: a resumed run sees the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch.utils.data import Dataset

from ...errors import InputError
from ...simulation.kernel import KERNELS
from ..config import DataConfig
from .cases import Case, Degradation, NoiseInsertedCase, Region
from .inserts import DRAWS_PER_PATCH as INSERT_DRAWS
from .lesions import DRAWS_PER_PATCH as LESION_DRAWS
from .samples import ORIENTATIONS, Batch, InsertedSample, Sample, collate

AIR_BELOW_HU = -800.0
TISSUE_SHARE = 0.01
_TRIES = 100
NOISE_MARGIN = 12
"""Pixels of noise around a patch that its kernel is shaped with: the filter reaches no farther, and what wraps round is cut."""
LESIONS_EVERY = 4
"""Every so many-th patch of a batch tells its response to lesions."""


class PatchBatches(Dataset[Batch]):
    """Batch ``i`` of patches: (batch, side, side), as it is stored.

    Patients are drawn by their shares, then slice, place, one of the eight flips and rotations, dose, kernel, electronic
    noise and inserts. Patches of air alone are drawn again. A scan at normal dose has noise of its own, and a network that
    always finds it beneath as much inserted noise learns to leave that much of any noise: a slab has less of it, and noise
    from elsewhere may be that of a larger patient. A process of several sees its share of each batch; all shares together
    are the batch that a single process would see.

    Args:
        cases: training patients, as blocks of slices.
        config: patch size, batch size, dose range and inserts.
        halo: extra pixels on every side of a patch.
        batches: length of the data set.
        seed: numbers that make these batches differ from others, such as (run's seed, level, epoch).
        share: (number of this process, how many there are).
        lesions: some patches get lesions, to which a response is looked for.
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
        lesions: bool = False,
    ) -> None:
        self.cases = cases
        self.config = config
        self.halo = halo
        self.side = config.patch_size + 2 * halo
        self.batches = batches
        self.seed = list(seed)
        self.lesions = lesions
        self._shares = _cumulative([case.share for case in cases])
        self._inserted = [case for case in cases if isinstance(case, NoiseInsertedCase)]
        self._inserted_shares = _cumulative([case.share for case in self._inserted])
        process, processes = share
        if config.batch_size % processes:
            raise InputError(f"batch_size is {config.batch_size}, which {processes} processes cannot share evenly; change one.")
        each = config.batch_size // processes
        self.numbers = range(process * each, (process + 1) * each)
        for case in cases:
            rows, columns = case.full.shape[1:]
            needed = self.side + 2 * self._margin(case)
            if min(rows, columns) < needed:
                raise InputError(
                    f"A training volume's slices are {rows}x{columns}, smaller than a patch, its halo and the margin of its "
                    f"noise ({needed} pixels); leave it out or lower patch_size."
                )

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> Batch:
        if index >= self.batches:
            raise IndexError(index)
        samples, orientations, inserts = [], [], []
        lesions = {}
        for place, number in enumerate(self.numbers):
            rng = np.random.default_rng([*self.seed, index, number])
            sample, spacing = self._patch(rng)
            samples.append(sample)
            orientations.append(int(rng.integers(ORIENTATIONS)))
            inserts.append(rng.random(INSERT_DRAWS))
            if self.lesions and number % LESIONS_EVERY == 0:
                lesions[place] = rng.random(LESION_DRAWS), spacing[0]
        painted = (np.stack(inserts), self.config.inserts) if self.config.inserts else None
        return collate(samples, orientations, painted, lesions, self.halo)

    def _patch(self, rng: np.random.Generator) -> tuple[Sample, tuple[float, float]]:
        for _ in range(_TRIES):
            case = self.cases[_place(self._shares, rng)]
            where = self._where(case, rng)
            if np.count_nonzero(case.full[where] > AIR_BELOW_HU) >= TISSUE_SHARE * self.side**2:
                degradation = Degradation.draw(rng, self.config, case.spacing[0])
                if isinstance(case, NoiseInsertedCase):
                    return self._mixed(case, where, degradation, rng), case.spacing
                return case.sample(where, degradation), case.spacing
        raise InputError("The training volumes hold hardly anything but air; check that they are CT in HU.")

    def _margin(self, case: Case) -> int:
        return 0 if case.measured else NOISE_MARGIN

    def _where(self, case: Case, rng: np.random.Generator) -> Region:
        """The region of a patch at any place where its noise has its margin."""
        slices, *size = case.full.shape
        margin = self._margin(case)
        row, column = (int(rng.integers(margin, length - margin - self.side + 1)) for length in size)
        return int(rng.integers(slices)), slice(row, row + self.side), slice(column, column + self.side)

    def _mixed(
        self, case: NoiseInsertedCase, where: Region, degradation: Degradation, rng: np.random.Generator
    ) -> InsertedSample:
        """A sample with noise of its own scan's texture, as a slab, with the noise of elsewhere where that is louder, or all."""
        if case.kernel is not None and rng.random() < self.config.own_kernel:
            degradation = replace(degradation, kernel=case.kernel)
        sample = case.sample(where, degradation, NOISE_MARGIN)
        if rng.random() < self.config.noise_from_elsewhere:
            other = self._inserted[_place(self._inserted_shares, rng)]
            noise = other.sample(self._where(other, rng), degradation, NOISE_MARGIN).noise
            if noise[0].std(dtype=np.float32) > sample.noise[0].std(dtype=np.float32):
                sample = sample._replace(noise=noise)
        z, *region = where
        slab = (slice(z, z + 1 + int(rng.integers(self.config.slab))), *region)
        if case.own_noise is not None:
            sample = sample._replace(own_noise=np.rint(case.own_noise[slab].mean(axis=0)).astype(np.int16))
        return sample._replace(full=np.rint(case.full[slab].mean(axis=0)).astype(np.int16))


def _cumulative(shares: Sequence[float]) -> np.ndarray:
    """Upper ends of the cases' parts of [0, 1)."""
    ends = np.cumsum(shares)
    return ends[:-1] / ends[-1] if len(ends) else ends


def _place(ends: np.ndarray, rng: np.random.Generator) -> int:
    return int(np.searchsorted(ends, rng.random(), side="right"))


class ValidationSlices(Dataset[tuple[Batch, str, tuple[float, float]]]):
    """Whole slices spread evenly over each validation volume, each a batch of its own with what it shows and its spacing in mm.

    Those with inserted noise come at fixed doses, named ``dose_0.25`` and ``dose_0.10``; pairs as they are, named ``pairs``.
    """

    slices_per_case = 4
    degradations = (Degradation(0.25, KERNELS["soft"]), Degradation(0.10, KERNELS["sharp"]))

    def __init__(self, cases: Sequence[Case]) -> None:
        self.items = [
            (case, int(z), degradation)
            for case in cases
            for z in np.unique(np.linspace(0, len(case.full) - 1, self.slices_per_case + 2)[1:-1].round())
            for degradation in (self.degradations[:1] if case.measured else self.degradations)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Batch, str, tuple[float, float]]:
        case, z, degradation = self.items[index]
        name = "pairs" if case.measured else f"dose_{degradation.dose_fraction:.2f}"
        rows, columns = case.full.shape[1:]
        return collate([case.sample((z, slice(0, rows), slice(0, columns)), degradation)], [0]), name, case.spacing
