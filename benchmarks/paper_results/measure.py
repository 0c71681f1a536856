"""Every model that exists, judged on the test patients: at blend 1 with the whole report, at the paper's blend for the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LDCTDenoiseLib.data.pairs_csv import read_pairs
from LDCTDenoiseLib.evaluation.evaluate import REFERENCE, EvaluationOptions, evaluate_pairs, load_models, load_pair
from LDCTDenoiseLib.evaluation.methods import INPUT
from LDCTDenoiseLib.evaluation.patient_table import PatientRow, Summary, one_row_per_patient, summarise
from LDCTDenoiseLib.evaluation.phantom_study import REALISATIONS
from LDCTDenoiseLib.evaluation.report import write_report
from LDCTDenoiseLib.evaluation.slice_table import slice_rows
from LDCTDenoiseLib.measures.image_quality import ABDOMEN

from .split import DOSE, KERNEL

BASELINES = ("nlm", "median", "curvature")
PAPER_BLEND = 0.7
Figures = Mapping[str, Mapping[str, Summary]]
"""By method and measure."""


@dataclass(frozen=True)
class Measured:
    """What was found.

    Attributes:
        figures: by blend.
        patients: the rows of blend 1.
        notes: of each method: hash or parameters.
        every: every how many slices were judged.
    """

    figures: Mapping[float, Figures]
    patients: Sequence[PatientRow]
    notes: Mapping[str, str]
    every: int


def measure(
    models: Sequence[str],
    csv: Path,
    out: Path,
    *,
    every: int,
    baselines: Sequence[str] = BASELINES,
    phantom_scans: int = REALISATIONS,
    device: str = "auto",
) -> Measured:
    """Judge models and tuned filters; write the report, its tables and its summary into ``out``.

    Args:
        models: names or files; the others are tested against the first one.
        csv: of the pairs (``split.write_low_doses``).
        out: folder of the report.
        every: judge every n-th slice.
        baselines: short names of filters.
        phantom_scans: as in ``EvaluationOptions``.
        device: where to compute.
    """
    options = EvaluationOptions(
        models=models, baselines=baselines, every=every, phantom_doses=(DOSE,), phantom_scans=phantom_scans, device=device
    )
    evaluation = evaluate_pairs(csv, options)
    evaluation.remarks.append(
        f"All low doses are simulated by noise insertion (dose fraction {DOSE:g}, {KERNEL} kernel): the reference is the "
        "scan itself with its own noise, so that in flat tissue a perfect image would gain 10 log10(1/dose - 1) dB."
    )
    write_report(evaluation, out)
    judged = [row for row in evaluation.patients if row.method != REFERENCE]
    notes = {method.name: method.note for method in evaluation.methods}
    figures = {1.0: summarise(judged, INPUT.name), PAPER_BLEND: _at_paper_blend(models, csv, options)}
    return Measured(figures, judged, notes, every)


def _at_paper_blend(models: Sequence[str], csv: Path, options: EvaluationOptions) -> Figures:
    rows = []
    methods = load_models(models, device=options.device, blend=PAPER_BLEND)
    for listed in read_pairs(csv):
        if listed.split != options.split:
            continue
        pair = load_pair(listed, options)
        for method in methods:
            values = [one.values for one in slice_rows(pair, method.name, method.apply(pair.low, pair.noise_hu), [ABDOMEN])]
            means = {name: float(np.mean([one[name] for one in values])) for name in values[0]}
            rows.append(PatientRow(pair.patient, method.name, means, None))
    return summarise(one_row_per_patient(rows), methods[0].name)
