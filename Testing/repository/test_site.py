"""The documentation's Python examples run, page by page from top to bottom, and what it names exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import yaml

import LDCTDenoiseLib
from LDCTDenoiseLib import errors
from LDCTDenoiseLib.models.architectures import NETWORKS
from Testing.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(page for page in DOCS.glob("*.md") if "```python" in page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(NETWORKS)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {"__name__": "example"}
    try:
        for block in blocks:
            exec(compile(block, str(page), "exec"), names)
    finally:
        for added in set(NETWORKS) - set(before):
            del NETWORKS[added]


def test_examples_are_there_to_run() -> None:
    assert {page.name for page in PAGES} >= {"index.md", "evaluate.md", "add_a_network.md"}


def test_everything_on_the_front_page_has_an_example() -> None:
    """``make test`` runs the examples (pytest --doctest-modules)."""
    for name in set(LDCTDenoiseLib.__all__) - {"__version__"}:
        if name in vars(errors):
            continue
        assert ">>>" in (getattr(LDCTDenoiseLib, name).__doc__ or ""), name


def test_the_site_lists_pages_that_exist() -> None:
    site = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = {path for entry in site["nav"] for path in entry.values()}
    assert listed <= {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}


def test_the_reference_names_things_that_exist() -> None:
    for name in re.findall(r"^::: (\S+)", (DOCS / "reference.md").read_text(encoding="utf-8"), re.MULTILINE):
        parts = name.split(".")
        last = parts[-1]
        if last[0].isupper() or not (REPOSITORY / Path(*parts)).with_suffix(".py").exists():
            assert hasattr(importlib.import_module(".".join(parts[:-1])), last), name
