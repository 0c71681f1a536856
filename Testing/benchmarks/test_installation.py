"""The documented figures of an installation are those that the last run of the benchmark left."""

from __future__ import annotations

import json

from benchmarks import installation
from Testing.conftest import REPOSITORY


def test_the_documents_table_is_made_from_the_results() -> None:
    figures = json.loads((REPOSITORY / installation.RESULTS).read_text(encoding="utf-8"))
    text = (REPOSITORY / installation.DOCUMENT).read_text(encoding="utf-8")
    assert "<!-- table: installation -->\n" + "\n".join(installation.table(figures)) + "\n<!-- end -->" in text


def test_the_readme_tells_the_base_no_smaller_than_it_is() -> None:
    figures = json.loads((REPOSITORY / installation.RESULTS).read_text(encoding="utf-8"))
    base = figures["base"]["disk beside an empty environment, MiB"]
    assert 400 < base < 700
    assert "into .venv (0.7 GB)" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
