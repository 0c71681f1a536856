"""What the documents say: links that lead somewhere, messages that the software really has, an example that runs."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from docs import architecture
from Testing.conftest import REPOSITORY
from Testing.slicer.slicer_panel import add_ct

if TYPE_CHECKING:
    from Testing.slicer.slicer_panel import Traces
    from Testing.slicer_standin.application import Application

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "docs").glob("*.md")),
    "Testing/MANUAL.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_or_shows_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if "://" not in target:
            assert (REPOSITORY / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_a_page_for_developers_names_exist(page: str) -> None:
    named = set(re.findall(r"`((?:[\w.]+/)*\w+\.(?:py|md|ui|txt|yaml))`", (REPOSITORY / page).read_text(encoding="utf-8")))
    assert len(named) > 10
    homes = [REPOSITORY, REPOSITORY / "LDCTDenoiseLib", REPOSITORY / "LDCTDenoise" / "LDCTDenoiseModuleLib"]
    for name in named:
        assert "NAME" in name or any((home / name).is_file() for home in homes), name


def test_the_picture_of_the_architecture_is_that_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """``make architecture`` draws it."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "LDCTDenoise"))
    assert architecture.PICTURE.read_text(encoding="utf-8") == architecture.draw()


def test_the_readme_is_read_in_two_minutes() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_messages_that_troubleshooting_quotes_are_those_of_the_software() -> None:
    sources = [
        path.read_text(encoding="utf-8")
        for name in ("LDCTDenoise", "LDCTDenoiseLib")
        for path in (REPOSITORY / name).rglob("*.py")
    ]
    page = (REPOSITORY / "docs" / "slicer.md").read_text(encoding="utf-8").partition("# What to do when")[2]
    quoted = re.findall(r'"([^"]+)"', page)
    assert len(quoted) > 10
    for message in quoted:
        for part in filter(None, re.split(r"\s*\.\.\.\s*", message)):
            assert any(part in source for source in sources), part


def test_the_console_example_of_the_tutorial_runs(traces: Traces, slicer_app: Application) -> None:
    """On a small CT in place of the phantom."""
    import slicer

    section = (REPOSITORY / "docs" / "slicer.md").read_text(encoding="utf-8").partition("In the Python console:")[2]
    found = re.match(r"\s*\n((?:    .*\n|\n)+)", section)
    assert found
    slicer_app.load_module(REPOSITORY / "LDCTDenoise" / "LDCTDenoise.py")
    add_ct(name="LDCT phantom")
    console: dict[str, Any] = {"slicer": slicer}
    exec(textwrap.dedent(found[1]), console)
    assert console["result"]["output"].GetName() == "LDCT phantom denoised"
    composite = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceCompositeNodeRed")
    assert composite.GetBackgroundVolumeID() == console["result"]["output"].GetID()
