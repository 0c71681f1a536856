"""What the reviewers of Slicer's Extensions Index check; the steps that need a person are in docs/publish.md."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
NAME = "SlicerLDCTDenoise"
SIZE_LIMIT_BYTES = 100 * 1024 * 1024
LARGE_BYTES = 1_500_000
SLICERS_OWN = {"slicer", "qt", "ctk", "vtk", "numpy"}
"""What Slicer brings, and has loaded anyway."""
SOURCES = [*(REPOSITORY / "LDCTDenoise").rglob("*.py")]


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_repositorys_name_begins_with_slicer_everywhere() -> None:
    entry = json.loads(text_of("LDCTDenoise.json"))
    assert entry["scm_url"].endswith(f"/{NAME}.git")
    for name in ("CMakeLists.txt", "README.md", "docs/slicer.md", "docs/safety.md"):
        for found in re.findall(r"(?:github|githubusercontent)\.com/LDCTDenoise/(\w+)", text_of(name)):
            assert found == NAME, name
    assert "project(LDCTDenoise)" in text_of("CMakeLists.txt"), "the extension's own name stays"


def test_the_topic_is_named_for_the_release() -> None:
    assert "3d-slicer-extension" in text_of("docs/publish.md")
    assert "3d-slicer-extension" in text_of("CHANGELOG.md")


def test_licence_and_description() -> None:
    assert "Apache License" in text_of("LICENSE")
    description = re.search(r'EXTENSION_DESCRIPTION "([^"]+)"', text_of("CMakeLists.txt"))
    assert description
    assert "No known patents" in description[1]


def test_what_is_sent_and_downloaded_is_said_in_one_paragraph() -> None:
    (paragraph,) = [part for part in text_of("README.md").split("\n\n") if part.startswith("**What is sent and downloaded.**")]
    for word in ("telemetry", "PyTorch", "openvino", "safetensors", "pydicom", "finufft", "CTChest"):
        assert word in paragraph


def test_the_repository_with_its_history_is_small_enough() -> None:
    """What a clone receives: each object once, however many packs of this checkout hold it."""
    told = subprocess.run(
        ["git", "rev-list", "--disk-usage", "--objects", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if told.returncode:
        pytest.skip("not a git repository")
    assert int(told.stdout) < SIZE_LIMIT_BYTES


def test_no_file_but_the_model_is_large() -> None:
    told = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if told.returncode:
        pytest.skip("not a git repository")
    paths = [REPOSITORY / name for name in told.stdout.split("\0") if name]
    large = {path.name for path in paths if path.is_file() and path.stat().st_size > LARGE_BYTES}
    assert large <= {"default.safetensors"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_heavy_is_imported_at_file_scope(path: Path) -> None:
    """What Slicer loads at its start; the rest of the library is imported in the worker (see test_import.py, too)."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        for name in names:
            first = name.partition(".")[0]
            allowed = SLICERS_OWN | {"LDCTDenoiseLib", "LDCTDenoiseModuleLib"} | sys.stdlib_module_names
            assert first in allowed, f"{path.name}: {name}"
