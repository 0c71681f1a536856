"""The patients of the experiments: who trains, validates and tests, and the low doses that they are judged on."""

from __future__ import annotations

from pathlib import Path

from LDCTDenoiseLib import simulate_low_dose
from LDCTDenoiseLib.data.pairs_csv import Pair, Source, read_pairs, write_pairs
from LDCTDenoiseLib.training.config import DataConfig
from LDCTDenoiseLib.training.patches.cases import find_training_data
from LDCTDenoiseLib.volumes.volume_file import read_volume, write_volume

DOSE = 0.25
KERNEL = "soft"
SEED = 2
"""Of the noise to judge with: the training's own is another."""


def write_split(data: Path, split: DataConfig, csv: Path) -> Path:
    """A CSV of the folder's volumes, split as the configuration names its patients, for noise insertion."""
    pairs = find_training_data(data, split)
    csv.parent.mkdir(parents=True, exist_ok=True)
    write_pairs(pairs, csv)
    return csv


def write_low_doses(csv: Path, folder: Path) -> Path:
    """Low doses of the validation and test patients as files, and the CSV of these pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for pair in read_pairs(csv):
        if pair.split == "train":
            continue
        volume = read_volume(pair.full.path, series=pair.full.series)
        path = folder / f"{pair.patient}_low.nrrd"
        low = simulate_low_dose(volume.hu, volume.spacing, DOSE, kernel=KERNEL, seed=SEED)
        write_volume(volume.with_hu(low), path)
        pairs.append(Pair(pair.patient, Source(path), pair.full, pair.split))
    write_pairs(pairs, folder / "pairs.csv")
    return folder / "pairs.csv"
