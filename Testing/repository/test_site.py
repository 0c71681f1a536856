"""The documentation's Python examples run, page by page from top to bottom; what it names and links to exists."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import LDCTDenoiseLib
from docs import site_hooks
from docs.check_links import dead_links
from LDCTDenoiseLib import errors
from LDCTDenoiseLib.commands.command_line import all_parsers, build_parser
from LDCTDenoiseLib.ct.scan import Geometry, Scan
from LDCTDenoiseLib.models.architectures import NETWORKS
from LDCTDenoiseLib.simulation.phantom import make_phantom
from LDCTDenoiseLib.training.patches.noise_cache import prepare
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
    assert {page.name for page in PAGES} >= {"index.md", "python.md", "evaluate.md", "add_a_network.md"}


def test_everything_on_the_front_page_has_an_example() -> None:
    """``make test`` runs the examples (pytest --doctest-modules)."""
    for name in set(LDCTDenoiseLib.__all__) - {"__version__"}:
        if name in vars(errors):
            continue
        assert ">>>" in (getattr(LDCTDenoiseLib, name).__doc__ or ""), name


def listed_pages(entries: list[Any]) -> Iterator[str]:
    """The pages of a part of the site's navigation."""
    for entry in entries:
        (value,) = entry.values()
        if isinstance(value, list):
            yield from listed_pages(value)
        else:
            yield value


def test_the_site_lists_every_page() -> None:
    site = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert sorted(listed_pages(site["nav"])) == sorted(pages | {site_hooks.CARD_PAGE})


def test_the_command_line_page_has_every_command_and_option() -> None:
    page = "\n".join(site_hooks.describe_commands())
    for parser in all_parsers(build_parser()):
        assert f"\n## {parser.prog.removeprefix('ldctdenoise ')}\n" in f"\n{page}"
        for action in parser._actions:
            for option in set(action.option_strings) - {"-h", "--help"}:
                assert option in page
    assert "Example: " not in page
    assert "```text\nldctdenoise denoise low_dose.nrrd denoised.nrrd\n```" in page


def test_the_installation_page_has_every_extra() -> None:
    page = (DOCS / "install.md").read_text(encoding="utf-8")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    for extra in set(project["project"]["optional-dependencies"]) - {"docs", "test"}:
        assert re.search(rf"^\| `{extra}` \| .* \| `pip install 'ldctdenoise\[{extra}\]'` \|$", page, re.MULTILINE), extra


def test_the_space_that_the_page_on_training_tells_is_that_of_the_cache(tmp_path: Path) -> None:
    (volume,) = prepare(Scan(make_phantom(1, 512).scan(0.5), Geometry((5.0, 0.78, 0.78))), tmp_path, seed=0)
    told = re.findall(r"([\d.]+) MB for each slice of 512 x 512", (DOCS / "train.md").read_text(encoding="utf-8"))
    assert [f"{sum(np.asarray(one).nbytes for one in (volume.hu, volume.noise)) / 1e6:.1f}"] == told


def test_dead_links_of_a_site_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<h2 id="part">Part</h2>', encoding="utf-8")
    (tmp_path / "page.html").write_text(
        '<a href="other.html#part"></a><a href="other.html#gone"></a><a href="gone.html"></a><img src="gone.png">'
        '<a href="#here"></a><p id="here"><a href="https://example.org/gone"></a>',
        encoding="utf-8",
    )
    assert dead_links(tmp_path) == [
        "page.html: other.html#gone has no such anchor.",
        "page.html: gone.html is not there.",
        "page.html: gone.png is not there.",
    ]


def test_the_reference_names_things_that_exist() -> None:
    for name in re.findall(r"^::: (\S+)", (DOCS / "reference.md").read_text(encoding="utf-8"), re.MULTILINE):
        parts = name.split(".")
        last = parts[-1]
        if last[0].isupper() or not (REPOSITORY / Path(*parts)).with_suffix(".py").exists():
            assert hasattr(importlib.import_module(".".join(parts[:-1])), last), name


def test_code_of_the_site_keeps_its_brackets_and_breaks_between_parts() -> None:
    assert site_hooks.on_page_content("see (<code>a/b_c.py</code>), <code>x</code>") == (
        'see <span class="whole">(<code>a/<wbr>b_<wbr>c.py</code>),</span> <code>x</code>'
    )
    assert site_hooks.on_page_content("<code>run --dry-run</code> as :func:<code>f</code>") == (
        '<code>run <span class="whole">--dry-run</span></code> as <code>f</code>'
    )
    block = "<pre><span></span><code>a/b --dry-run</code></pre>"
    assert site_hooks.on_page_content(block) == block
