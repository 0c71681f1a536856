"""From the finished parts to the page: assemble, judge what is new, draw, write."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
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
from .parts import PARTS
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
    """What is judged.

    Attributes:
        name, key: of the row, and of its file of figures.
        source: what its figures come from, as ``judge.read_judged`` takes it.
        make: gives a model file or a filter; None where the weights are not there.
        parts: of training that it cost.
    """

    name: str
    key: str
    source: dict[str, Any]
    make: Callable[[], Path | Method] | None
    parts: Sequence[str] = ()


def parts_left(show: Show) -> list[str]:
    """Parts to train, in their order: those of systems that are not judged, without those that are there.

    A judged system needs its weights no more: RED-CNN's are too large for the repository.
    """
    judged = _known(show, _rows(show))
    needed = {name for system in SYSTEMS if system.name not in judged for name in system.all_parts}
    return [name for name in PARTS if name in needed.difference(finished(show.weights))]


def show_results(show: Show, failed: Mapping[str, str] | None = None) -> Results:
    """Draw, judge what was trained since the last time, and write the page, anew after every row that was judged."""
    show.out.mkdir(parents=True, exist_ok=True)
    rows = _rows(show)
    found = _known(show, rows)
    listed = read_pairs(show.csv)
    told = {name: record for one in found.values() for name, record in one["parts"].items()}
    results = Results(
        found,
        told | _records(show, finished(show.weights)),
        show.granted,
        {split: list(dict.fromkeys(pair.patient for pair in listed if pair.split == split)) for split in SPLITS},
        _shipped_in_words(find_model(SHIPPED)),
        _draw(show),
        failed or {},
    )
    _write(show, results)
    for row in rows:
        if row.name not in found and row.make is not None:
            log.info("Judges %s.", row.name)
            found[row.name] = _judge(show, row, row.make())
            _write(show, results)
    return results


def _rows(show: Show) -> list[_Row]:
    """What there is to judge."""
    how, trained = judge.how_judged(show.csv, show.pairs), show.trained
    rows = [
        _Row(
            system.name,
            system.key,
            how | {name: _hash(weights_file(show.weights, name)) for name in system.parts},
            partial(_model, show, system) if system in trained else None,
            system.all_parts,
        )
        for system in SYSTEMS
    ]
    shipped = find_model(SHIPPED)
    return [
        *rows,
        _Row(INPUT_ROW, INPUT_ROW, how, lambda: INPUT),
        _Row(SHIPPED, SHIPPED, how | {SHIPPED: read_info(shipped).model_hash}, lambda: shipped),
        _Row(FILTER, "nlm", how, lambda: _filter(show.csv)),
    ]


def _hash(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _known(show: Show, rows: Sequence[_Row]) -> dict[str, dict[str, Any]]:
    """Figures of the rows that were judged before, by name."""
    read = {row.name: judge.read_judged(show.judged / f"{row.key}.json", row.source) for row in rows}
    return {name: record for name, record in read.items() if record is not None}


def _records(show: Show, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How parts were trained that are there, by name."""
    return {name: read_record(path) for name in names if (path := weights_file(show.weights, name)).exists()}


def _judge(show: Show, row: _Row, made: Path | Method) -> dict[str, Any]:
    size = {}
    if isinstance(made, Path):
        denoiser = Denoiser(made, "cpu")
        size = {"size": judge.size_and_speed(made, denoiser)}
        made = model_method(denoiser, row.key)
    figures = judge.judge(made, show.scans, phantom_scans=show.phantom_scans)
    record = {"source": row.source, "parts": _records(show, row.parts), **figures, **size}
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
