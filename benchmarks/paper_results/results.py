"""From the data to the page: split, training, evaluation, figures."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import describe
from LDCTDenoiseLib.data.pairs_csv import SPLITS, Pair, read_pairs
from LDCTDenoiseLib.evaluation.evaluate import EvaluationOptions
from LDCTDenoiseLib.evaluation.paper_figures import RUNS, draw_paper_figures
from LDCTDenoiseLib.models.model_info import SHIPPED_FOLDER, SUFFIX, read_info
from LDCTDenoiseLib.system.devices import choose_device
from LDCTDenoiseLib.system.files import replace_when_complete
from LDCTDenoiseLib.training.config import TrainingConfig, load_config
from LDCTDenoiseLib.training.train import RunFiles

from .measure import PAPER_BLEND, Measured, measure
from .page import Results, page
from .runs import Training, train_systems
from .smaller_pictures import fit
from .split import write_low_doses
from .systems import SHIPPED, SYSTEMS

PAGE, JSON = "README.md", "results.json"
log = logging.getLogger(__name__)


def read_recipes() -> dict[str, TrainingConfig]:
    """The configurations of all systems by name, as the papers have them."""
    return {system.config: load_config(system.config) for system in (*SYSTEMS, SHIPPED)}


def make_results(
    names: Sequence[str],
    how: Training,
    out: Path,
    *,
    every: int,
    recipes: dict[str, TrainingConfig] | None = None,
    judge: Callable[..., Measured] = measure,
) -> Results:
    """Train the named systems, judge every model that exists, and write the folder of results.

    Args:
        names: configurations of the systems to train.
        how: they are trained.
        out: folder for page, report, tables and figures.
        every: judge every n-th slice.
        recipes: None are those of the repository.
        judge: as ``measure.measure``.

    Raises:
        InputError: data or a run folder cannot be used, or the results are too large.
    """
    recipes = recipes or read_recipes()
    failed = train_systems([recipes[name] for name in names], how)
    shipped = SHIPPED_FOLDER / f"{SHIPPED.config}{SUFFIX}"
    models = {SHIPPED.config: shipped} | {
        system.config: path for system in SYSTEMS if (path := RunFiles(how.runs / system.config).model(system.config)).exists()
    }
    out.mkdir(parents=True, exist_ok=True)
    csv = write_low_doses(how.csv, how.runs / "low_doses")
    log.info("Judges %s.", ", ".join(models))
    measured = judge([str(path) for path in models.values()], csv, out, every=every, device=how.device)
    if any(name in models for name in RUNS.values()):
        draw_paper_figures(csv, how.runs, out, EvaluationOptions(blend=PAPER_BLEND, device=how.device))
    results = Results(
        recipes,
        {name: read_info(path) for name, path in models.items()},
        measured,
        describe(choose_device(how.device)),
        _patients(read_pairs(how.csv)),
        failed,
    )
    write(results, out)
    log.info("%s: %.1f MB.", out, fit(out) / 1e6)
    return results


def _patients(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    listed = list(pairs)
    return {split: list(dict.fromkeys(pair.patient for pair in listed if pair.split == split)) for split in SPLITS}


def write(results: Results, folder: Path) -> None:
    """Write the figures as JSON and the page."""
    with replace_when_complete(folder / JSON, ".json") as temporary:
        temporary.write_text(json.dumps(record(results), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with replace_when_complete(folder / PAGE, ".md") as temporary:
        temporary.write_text(page(results, folder), encoding="utf-8")


def record(results: Results) -> dict[str, Any]:
    """The figures of the page, ready for JSON; what does not exist is None."""
    figures = results.measured.figures if results.measured is not None else {}
    return {
        "machine": dict(results.machine),
        "patients": {split: list(patients) for split, patients in results.split.items()},
        "models": {
            name: {"sha256": info.model_hash, **{key: info.training[key] for key in ("steps", "minutes", "device")}}
            for name, info in results.models.items()
        },
        "figures": {
            f"blend {blend:g}": {
                method: {
                    measure: {key: None if value != value else value for key, value in asdict(one).items() if key != "p_value"}
                    for measure, one in measures.items()
                }
                for method, measures in by_method.items()
            }
            for blend, by_method in figures.items()
        },
        "failed": dict(results.failed),
    }
