"""The report's tables as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..measures.image_quality import WINDOWS
from .evaluate import REFERENCE, Evaluation
from .patient_table import Summary
from .phantom_study import PhantomResult
from .slice_table import RMSE, measure_name

_ABSENT = "n/a"
_ENOUGH_CONTRAST_TO_NOISE = 15.0
"""AAPM TG 233's least contrast-to-noise ratio of the averaged edge for a TTF that can be trusted."""


@dataclass(frozen=True)
class Row:
    """A row of a table as text."""

    name: str
    cells: list[str]


@dataclass(frozen=True)
class Table:
    """A table as text; the first column, the rows' names, has no heading here."""

    title: str
    columns: list[str]
    rows: list[Row]


def quality_tables(found: dict[str, dict[str, Summary]]) -> list[Table]:
    """A table for each window, and one of RMSE."""
    tables = [
        summary_table(
            window.label, found, {short: measure_name(short, window) for short in ("PSNR", "SSIM", "VIF")}, "{:.3f}", True
        )
        for window in WINDOWS
    ]
    return [*tables, summary_table("All voxels", found, {RMSE: RMSE}, "{:.2f}", True)]


def summary_table(
    title: str, found: dict[str, dict[str, Summary]], measures: Mapping[str, str], form: str, with_p: bool = False
) -> Table:
    """Mean ± SD by method.

    Args:
        title: above the table.
        found: by method and measure.
        measures: by their heading.
        form: of the mean.
        with_p: put the test's p beside each measure.
    """
    columns = [heading for name in measures for heading in ((name, "p") if with_p else (name,))]
    rows = []
    for method, summaries in found.items():
        cells = []
        for measure in measures.values():
            one = summaries.get(measure)
            cells.append(_mean_and_sd(one, form))
            if with_p:
                cells.append("" if one is None or math.isnan(one.p_value) else f"{one.p_value:.3g}")
        rows.append(Row(method, cells))
    return Table(title, columns, rows)


def _mean_and_sd(one: Summary | None, form: str) -> str:
    if one is None or math.isnan(one.mean):
        return _ABSENT
    return form.format(one.mean) + ("" if math.isnan(one.sd) else " ± " + form.replace("+", "").format(one.sd))


def phantom_tables(results: list[PhantomResult]) -> list[Table]:
    """A table for each dose."""
    tables = []
    for dose in dict.fromkeys(result.dose for result in results):
        own = [result for result in results if result.dose == dose]
        columns = ["noise SD, HU", "NPS mean, per cm", "NPS peak, per cm"]
        columns += [f"CNR {contrast:g} HU" for contrast in own[0].contrast_to_noise]
        columns += [f"TTF50 {contrast:g} HU" for contrast in own[0].transfer]
        columns += [f"TTF10 {contrast:g} HU" for contrast in own[0].transfer]
        columns += [f"bias {tissue}" for tissue, value in own[0].bias.items() if not math.isnan(value)]
        rows = []
        for result in own:
            power = result.noise_power
            cells = [f"{value:.2f}" for value in (power.variance**0.5, power.mean_frequency, power.peak_frequency)]
            cells += [f"{one.ratio:.2f}" for one in result.contrast_to_noise.values()]
            for share in (0.5, 0.1):
                for contrast, transfer in result.transfer.items():
                    frequency = transfer.falls_to(share)
                    enough = contrast * math.sqrt(result.scans) / power.variance**0.5 >= _ENOUGH_CONTRAST_TO_NOISE
                    text = "> Nyquist" if math.isnan(frequency) else f"{frequency:.2f}"
                    cells.append(text if enough else f"({text})")
            cells += [f"{value:+.2f}" for value in result.bias.values() if not math.isnan(value)]
            rows.append(Row(result.method, cells))
        tables.append(Table(f"Dose {dose:g}, {own[0].scans} scans", columns, rows))
    return tables


def patient_table(evaluation: Evaluation, patient: str) -> Table:
    """All measures of one patient."""
    rows = [row for row in evaluation.patients if row.patient == patient and row.method != REFERENCE]
    columns = list(rows[0].values)
    cells = [Row(row.method, [_ABSENT if math.isnan(row.values[c]) else f"{row.values[c]:.3f}" for c in columns]) for row in rows]
    return Table(patient, columns, cells)


def text_table(evaluation: Evaluation) -> str:
    """The figures of one pair as plain text: a line for each measure, a column for each method."""
    rows = [row for row in evaluation.patients if row.method != REFERENCE]
    width = max(len(name) for name in rows[0].values)
    lines = [" " * width + "".join(f"{row.method:>14}" for row in rows)]
    for measure in rows[0].values:
        cells = ("-" if math.isnan(row.values[measure]) else f"{row.values[measure]:.3f}" for row in rows)
        lines.append(f"{measure:{width}}" + "".join(f"{cell:>14}" for cell in cells))
    return "\n".join(lines)
