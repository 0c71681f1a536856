"""From the finished parts to the page: assemble, judge what is new, draw, write."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from LDCTDenoiseLib.data.pairs_csv import SPLITS, read_pairs
from LDCTDenoiseLib.evaluation.baselines import find_baseline, tuned_method
from LDCTDenoiseLib.evaluation.evaluate import EvaluationOptions, load_pair
from LDCTDenoiseLib.evaluation.methods import INPUT, Method, model_method
from LDCTDenoiseLib.evaluation.paper_figures import FIGURES, write_paper_figures
from LDCTDenoiseLib.evaluation.phantom_study import REALISATIONS
from LDCTDenoiseLib.inference.engine import Denoiser
from LDCTDenoiseLib.models.model_info import find_model, read_info
from LDCTDenoiseLib.system.files import replace_when_complete

from . import judge
from .page import Results, page
from .patients import DOSES
from .plan import Granted
from .systems import FILTER, INPUT_ROW, SHIPPED, SHIPPED_LOSSES, SYSTEMS, System
from .train_parts import finished
from .weights import assemble, read_record, weights_file

PAGE = "README.md"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Show:
    """What the results are made of.

    Attributes:
        csv: patients and split (``patients.py``).
        pairs: folder of pairs of another simulator; None judges on the test patients alone.
        weights, judged: folders of the parts and of the systems' figures.
        models: folder for the model files that are assembled.
        out: folder of the page.
        granted: steps by part.
        phantom_scans: as in ``judge.judge``.
    """

    csv: Path
    pairs: Path | None
    weights: Path
    judged: Path
    models: Path
    out: Path
    granted: Mapping[str, Granted] = field(default_factory=dict)
    phantom_scans: int = REALISATIONS

    @cached_property
    def scans(self) -> list[judge.JudgedOn]:
        """Read once, and only if there is something to judge."""
        return judge.scans_to_judge(self.csv, self.pairs)

    @property
    def trained(self) -> list[System]:
        """Systems all of whose levels are there."""
        there = set(finished(self.weights))
        return [system for system in SYSTEMS if there.issuperset(system.parts)]


@dataclass(frozen=True)
class _Row:
    """What is judged: ``make`` gives a model file or a filter, ``source`` tells one from another."""

    name: str
    key: str
    source: dict[str, Any]
    make: Callable[[], Path | Method]


def show_results(show: Show, failed: Mapping[str, str] | None = None) -> Results:
    """Draw, judge what was trained since the last time, and write the page, anew after every row that was judged."""
    show.out.mkdir(parents=True, exist_ok=True)
    rows = _rows(show)
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if (known := judge.read_judged(show.judged / f"{row.key}.json", row.source)) is not None:
            found[row.name] = known
    listed = read_pairs(show.csv)
    results = Results(
        found,
        {name: read_record(weights_file(show.weights, name)) for name in finished(show.weights)},
        show.granted,
        {split: list(dict.fromkeys(pair.patient for pair in listed if pair.split == split)) for split in SPLITS},
        _shipped_in_words(find_model(SHIPPED)),
        _draw(show),
        failed or {},
    )
    _write(show, results)
    for row in rows:
        if row.name not in found:
            log.info("Judges %s.", row.name)
            found[row.name] = _judge(show, row)
            _write(show, results)
    return results


def _rows(show: Show) -> list[_Row]:
    """What there is to judge."""
    how = judge.how_judged(show.csv, show.pairs)
    rows = [
        _Row(
            system.name,
            system.key,
            how | {name: hashlib.sha256(weights_file(show.weights, name).read_bytes()).hexdigest() for name in system.parts},
            partial(_model, show, system),
        )
        for system in show.trained
    ]
    shipped = find_model(SHIPPED)
    return [
        *rows,
        _Row(INPUT_ROW, INPUT_ROW, how, lambda: INPUT),
        _Row(SHIPPED, SHIPPED, how | {SHIPPED: read_info(shipped).model_hash}, lambda: shipped),
        _Row(FILTER, "nlm", how, lambda: _filter(show.csv)),
    ]


def _judge(show: Show, row: _Row) -> dict[str, Any]:
    made, size = row.make(), {}
    if isinstance(made, Path):
        denoiser = Denoiser(made, "cpu")
        size = {"size": judge.size_and_speed(made, denoiser)}
        made = model_method(denoiser, row.key)
    record = {"source": row.source, **judge.judge(made, show.scans, phantom_scans=show.phantom_scans), **size}
    judge.write_judged(record, show.judged / f"{row.key}.json")
    return record


def _write(show: Show, results: Results) -> None:
    with replace_when_complete(show.out / PAGE, ".md") as temporary:
        temporary.write_text(page(results), encoding="utf-8")


def _model(show: Show, system: System) -> Path:
    path = show.models / f"{system.key}.safetensors"
    assemble([weights_file(show.weights, name) for name in system.parts], path, system.what)
    return path


def _filter(csv: Path) -> Method:
    """Non-local means, tuned on the validation patients."""
    pairs = [pair for pair in read_pairs(csv) if pair.split == "validate" and pair.low is not None]
    validation = [load_pair(pair, EvaluationOptions()) for pair in pairs]
    return tuned_method(find_baseline("nlm"), validation)


def _draw(show: Show) -> list[str]:
    """The figures, on the middle slice of the first test patient."""
    wanted = {name for figure in FIGURES for name in figure.systems}
    systems = [system for system in show.trained if system.name in wanted]
    listed = next(
        pair
        for pair in read_pairs(show.csv)
        if pair.split == "test" and pair.low and f"_d{DOSES[0] * 100:.0f}" in pair.low.path.stem
    )
    pair = load_pair(listed, EvaluationOptions(), only=-1)
    images = {
        system.name: Denoiser(_model(show, system), "cpu", blend=judge.BLEND)(pair.low.astype(np.float32))[0]
        for system in systems
    }
    return [path.name for path in write_paper_figures(pair, images, show.out, judge.BLEND)]


def _shipped_in_words(path: Path) -> str:
    """Its levels, and the losses of its runs."""
    info = read_info(path)
    nets = " then ".join(f"{level.network} ({level.predicts.value})" for level in info.levels)
    return f"C's networks ({nets}), {SHIPPED_LOSSES} (card of `{info.name}`)"
