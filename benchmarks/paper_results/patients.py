"""The patients of the experiments: the shipped model's split, with low doses as files for those that are not trained on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from LDCTDenoiseLib import simulate_low_dose
from LDCTDenoiseLib.ct.evenly_spread import evenly_spread
from LDCTDenoiseLib.ct.scan import Scan
from LDCTDenoiseLib.data.pairs_csv import Pair, Source, read_pairs, write_pairs
from LDCTDenoiseLib.training.config import DataConfig
from LDCTDenoiseLib.training.patches.cases import find_training_data
from LDCTDenoiseLib.volumes.volume_file import read_volume, write_volume

DOSES = (0.25, 0.10)
KERNEL = "soft"
SEED = 20
"""Of the noise to judge with: the training's own is another."""
NARROWEST = 200
"""Pixels: the halo of Wu's fifth level takes more than narrower slices have."""
SLICES = {"validate": 2, "test": 8}
"""Of a patient, spread evenly. A validation is not part of the budget, and must not take longer than the training."""
_CALIBRATED_ON = 8
log = logging.getLogger(__name__)


def prepare_patients(data: Path, split: DataConfig, folder: Path) -> Path:
    """Low doses of the validation and test patients, and the CSV of all patients; what is there is not made again.

    Args:
        data: folder of normal-dose volumes.
        split: names the validation and test patients.
        folder: for the files.

    Returns:
        The CSV: training patients without a low dose, which the trainer inserts; the others at every dose.
    """
    csv = folder / "pairs.csv"
    there = find_training_data(data, split)
    if csv.exists() and _is_of(read_pairs(csv), there):
        return csv
    folder.mkdir(parents=True, exist_ok=True)
    pairs: list[Pair] = []
    for pair in there:
        scan = read_volume(pair.full.path)
        if pair.split == "train":
            if min(scan.hu.shape[1:]) >= NARROWEST:
                pairs.append(pair)
            continue
        log.info("Low doses of %s.", pair.patient)
        pairs += _low_doses(scan, pair, folder)
    write_pairs(pairs, csv)
    return csv


def _is_of(listed: Sequence[Pair], there: Sequence[Pair]) -> bool:
    """Whether what was prepared is these patients, in this split, with all files."""
    files = [source.path for pair in listed for source in (pair.low, pair.full) if source is not None]
    train = {pair.full.path.resolve() for pair in there if pair.split == "train"}
    return (
        all(path.is_file() for path in files)
        and train.issuperset(pair.full.path.resolve() for pair in listed if pair.split == "train")
        and all(
            {pair.patient for pair in listed if pair.split == split} == {pair.patient for pair in there if pair.split == split}
            for split in SLICES
        )
    )


def _low_doses(scan: Scan, pair: Pair, folder: Path) -> list[Pair]:
    few = scan.hu[evenly_spread(len(scan.hu), _CALIBRATED_ON)]
    # Of the inner ones: the first and the last slice of a scan often show little.
    kept = 1 + evenly_spread(len(few) - 2, SLICES[pair.split])
    full = folder / f"{pair.patient}_full.nrrd"
    write_volume(scan.with_hu(few[kept]), full)
    pairs = []
    for dose in DOSES:
        low = simulate_low_dose(few, scan.spacing, dose, kernel=KERNEL, seed=SEED)
        path = folder / f"{pair.patient}_d{round(100 * dose):02d}.nrrd"
        write_volume(scan.with_hu(np.ascontiguousarray(low[kept])), path)
        pairs.append(Pair(pair.patient, Source(path), Source(full), pair.split))
    return pairs
