"""What the documents say: links that lead somewhere, messages that the software really has, an example that runs."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from Testing.conftest import REPOSITORY
from Testing.slicer.slicer_panel import add_ct

if TYPE_CHECKING:
    from Testing.slicer.slicer_panel import Traces
    from Testing.slicer_standin.application import Application

PAGES = [
    "README.md",
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
