"""The documents' figures are those of the files that they come from."""

from __future__ import annotations

import importlib
import json
import re

import pytest

from benchmarks import base_packages, documents, engine_speed, installation, slicer_responsiveness
from benchmarks.speed import report
from Testing.conftest import REPOSITORY


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(path.stem for path in (REPOSITORY / "benchmarks").glob("*.py")))
def test_every_benchmark_begins(name: str) -> None:
    """Most take hours, and are started long after what they import was changed."""
    assert callable(importlib.import_module(f"benchmarks.{name}").main)


@pytest.mark.parametrize(("name", "tables"), documents.DOCUMENTS.items(), ids=documents.DOCUMENTS)
def test_the_figures_of_a_document_are_those_of_their_files(name: str, tables: tuple[str, ...]) -> None:
    """``python -m benchmarks.documents`` writes them."""
    assert documents.rewrite(text_of(name), tables) == text_of(name)


@pytest.mark.parametrize(
    ("results", "tables"),
    [
        (installation.RESULTS, {"installation": installation.table}),
        (base_packages.RESULTS, {"packages": base_packages.table}),
        (engine_speed.RESULTS, report.TABLES),
        (slicer_responsiveness.RESULTS, {"slicer": slicer_responsiveness.table}),
    ],
    ids=["installation", "base_packages", "engine_speed", "slicer_responsiveness"],
)
def test_the_tables_of_performance_are_made_from_the_results(results, tables) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    if not (REPOSITORY / results).exists():
        pytest.skip(f"make bench has not written {results.name} yet; the table is of an older run")
    figures = json.loads(text_of(str(results)))
    page = text_of("docs/performance.md")
    assert report.with_tables(page, {name: make(figures) for name, make in tables.items()}) == page


def test_every_figure_of_quality_is_in_the_readme_as_the_model_has_it() -> None:
    """Worked out here anew, from the card that people read."""
    card = text_of("LDCTDenoiseLib/models/shipped/default.md")
    cells = [line.strip("| ").split(" | ") for line in card.splitlines()]
    rows = [row for row in cells if row[1:2] in (["soft"], ["sharp"])]
    gains = [float(row[4]) for row in rows if row[2] == "0.25" and row[3] == "level 2"]
    assert gains
    assert f"| 0.25 | whole cascade | {sum(gains) / len(gains):.1f} dB | {min(gains):.1f} dB |" in text_of("README.md")


def test_make_announces_no_less_than_was_measured() -> None:
    demo = max(one["demo"]["venv_mb"] for one in json.loads(text_of(documents.BARE_ROOT)).values())
    base = json.loads(text_of(documents.INSTALLATION))["base"]["download, MB"]
    pattern = r"Downloading about (\d+) MB .*?holds[ \\\n\t]+about ([\d.]+) GB"
    download, disk = re.findall(pattern, text_of("Makefile"), re.DOTALL)[0]
    assert base < int(download) < 1.3 * base
    assert demo < 1e3 * float(disk) + 50 < 1.3 * demo


def test_a_bare_debian_holds_the_demo_in_600_mb_and_90_cpu_seconds() -> None:
    """As Testing/bare_root measured it last, by hand."""
    for targets in json.loads(text_of(documents.BARE_ROOT)).values():
        assert targets["demo"]["venv_mb"] < 600
        assert targets["demo"]["cpu_seconds"] < 90
