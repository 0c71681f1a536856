"""Per patient: the mean of its slices, HU bias by tissue, and the noise; then mean and SD over the patients.

Slices of a patient resemble each other, so that a patient, not a slice, is what is counted and tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..measures.noise_level import WINDOW_MM, noise_sd
from ..measures.nps import NoisePower, tissue_noise_power, tissue_windows
from ..measures.tissue_bias import tissue_bias
from ..system.extras import require_extra
from .dose_pair import DosePair
from .slice_table import SliceRow, write_rows

NOISE = "noise SD in uniform soft tissue, HU"
NPS_MEAN = "NPS mean frequency, per cm"
NPS_PEAK = "NPS peak frequency, per cm"


def bias_name(tissue: str) -> str:
    """The bias of a tissue as it stands in tables."""
    return f"HU bias, {tissue}"


@dataclass(frozen=True)
class PatientRow:
    """One method on one patient.

    Attributes:
        patient, method: which.
        values: by the measure's name; nan where it does not exist, as the bias of a tissue that does not occur.
        noise_power: in uniform soft tissue; None where there is none.
    """

    patient: str
    method: str
    values: dict[str, float]
    noise_power: NoisePower | None


def volume_rows(
    pair: DosePair,
    images: dict[str, np.ndarray],
    slices: Sequence[SliceRow],
    masks: dict[str, np.ndarray],
    responses: dict[str, dict[str, float]],
) -> list[PatientRow]:
    """A row for each method on one volume.

    The places for noise and spectrum are found once, in the normal dose, so that all methods are measured there.

    Args:
        pair: the volume.
        images: (slices, rows, columns) HU by method.
        slices: the volume's rows of the slice table; a method without rows (the reference) gets noise figures alone.
        masks: of ``tissue_masks(pair.full)``.
        responses: noise left and signal kept by method (``local_response.py``).
    """
    noise_windows = tissue_windows(pair.full, pair.spacing, WINDOW_MM)
    spectrum_windows = tissue_windows(pair.full, pair.spacing)
    rows = []
    for method, image in images.items():
        own = [row.values for row in slices if row.method == method]
        values = {name: _mean([one[name] for one in own]) for name in (own[0] if own else ())}
        if own:
            values |= {bias_name(tissue): bias for tissue, bias in tissue_bias(image, pair.full, masks).items()}
        values |= responses.get(method, {})
        power = None if spectrum_windows is None else tissue_noise_power(image, spectrum_windows, pair.spacing)
        values[NOISE] = float("nan") if noise_windows is None else noise_sd(image, noise_windows, pair.spacing)
        values[NPS_MEAN] = float("nan") if power is None else power.mean_frequency
        values[NPS_PEAK] = float("nan") if power is None else power.peak_frequency
        rows.append(PatientRow(pair.patient, method, values, power))
    return rows


def one_row_per_patient(rows: Sequence[PatientRow]) -> list[PatientRow]:
    """The rows with a patient's volumes averaged; the spectrum is that of its first volume."""
    grouped: dict[tuple[str, str], list[PatientRow]] = {}
    for row in rows:
        grouped.setdefault((row.patient, row.method), []).append(row)
    return [
        PatientRow(
            patient, method, {name: _mean([row.values[name] for row in group]) for name in group[0].values}, group[0].noise_power
        )
        for (patient, method), group in grouped.items()
    ]


def _mean(values: Sequence[float]) -> float:
    """Of the finite values: a slice of air has no VIF and, left as it was, an infinite PSNR. Without any, what they all are."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else values[0]


def write_patient_table(path: Path, rows: Sequence[PatientRow]) -> None:
    """The CSV per patient."""
    write_rows(path, ("patient", "method"), [((row.patient, row.method), row.values) for row in rows])


@dataclass(frozen=True)
class Summary:
    """One measure of one method over the patients.

    Attributes:
        mean, sd: over the patients that have the measure as a finite number; the SD is nan for fewer than two.
        patients: how many have it so.
        p_value: of the paired Wilcoxon signed-rank test against the chosen method; nan for that method itself, for fewer
            than two patients, and where nothing differs.
    """

    mean: float
    sd: float
    patients: int
    p_value: float


def summarise(rows: Sequence[PatientRow], against: str) -> dict[str, dict[str, Summary]]:
    """Mean, SD and test by method and measure.

    Args:
        rows: of all patients.
        against: the method that the others are tested against.

    Raises:
        MissingExtraError: the ``report`` extra is not installed.
    """
    methods = dict.fromkeys(row.method for row in rows)
    chosen = {row.patient: row.values for row in rows if row.method == against}
    result: dict[str, dict[str, Summary]] = {}
    for method in methods:
        own = [row for row in rows if row.method == method]
        result[method] = {}
        for measure in own[0].values:
            values = np.array([row.values[measure] for row in own])
            others = np.array([chosen.get(row.patient, {}).get(measure, np.nan) for row in own])
            known = values[np.isfinite(values)]
            result[method][measure] = Summary(
                _mean(values.tolist()),
                float(known.std(ddof=1)) if len(known) > 1 else float("nan"),
                len(known),
                wilcoxon_p(values, others),
            )
    return result


def wilcoxon_p(values: np.ndarray, others: np.ndarray) -> float:
    """Two-sided p of the paired Wilcoxon signed-rank test; nan for fewer than two pairs or no difference.

    With n pairs it cannot be below 2 / 2**n: six are needed before it can fall below 0.05.
    """
    with require_extra("report"):
        from scipy.stats import wilcoxon
    known = np.isfinite(values) & np.isfinite(others)
    difference = values[known] - others[known]
    if len(difference) < 2 or not difference.any():
        return float("nan")
    return float(wilcoxon(difference).pvalue)
