"""Training curves: loss and validation against optimiser steps, from the ``metrics.csv`` of one or more runs.

    python -m benchmarks.training_curve --out docs/results/training_curve.png squared=runs/x/level1/metrics.csv

A CSV has a column ``step``; a panel shows those of its columns whose names begin alike: ``loss``, ``gain_db`` (one for each
dose), ``noise_left``, ``signal_kept``.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.evaluation.pictures import as_png, new_figure
from LDCTDenoiseLib.system.files import replace_when_complete

STEP = "step"
PANELS = {"loss": "loss", "gain_db": "gain, dB", "noise_left": "noise left", "signal_kept": "signal kept"}
"""Start of the columns' names, and what their panel is called."""

Curve = tuple[list[float], list[float]]


def read_curves(path: Path) -> dict[str, Curve]:
    """Steps and values of every column that a panel shows; steps without a value are left out.

    Raises:
        InputError: there is nothing to draw.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = [name for name in (rows[0] if rows else {}) if name.startswith(tuple(PANELS))]
    if not shown or STEP not in rows[0]:
        raise InputError(f"{path} has no lines with {STEP} and a column that starts with {', '.join(PANELS)}.")
    curves = {}
    for name in shown:
        known = [row for row in rows if row[name]]
        curves[name] = [float(row[STEP]) for row in known], [float(row[name]) for row in known]
    return curves


def draw(runs: dict[str, dict[str, Curve]]) -> bytes:
    """A panel for each kind of column that any run has (PNG)."""
    kinds = [start for start in PANELS if any(name.startswith(start) for curves in runs.values() for name in curves)]
    figure = new_figure(4.2 * len(kinds), 3.6)
    for axis, start in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for run, curves in runs.items():
            for name, (steps, values) in curves.items():
                if name.startswith(start):
                    axis.plot(steps, values, marker=".", linewidth=1, label=f"{run} {name.removeprefix(start).strip('_')}")
        axis.set(title=PANELS[start], xlabel="optimiser steps")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    return as_png(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="picture, PNG")
    parser.add_argument("runs", nargs="+", metavar="NAME=CSV", help="what to call a run, and its metrics.csv")
    options = parser.parse_args()
    named = dict(run.split("=", 1) for run in options.runs)
    picture = draw({name: read_curves(Path(path)) for name, path in named.items()})
    with replace_when_complete(options.out) as temporary:
        temporary.write_bytes(picture)


if __name__ == "__main__":
    main()
