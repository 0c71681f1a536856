"""The module's files: a short one that assembles, and a library with one class a file, typed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from Testing.slicer.slicer_panel import MODULE

LIBRARY = sorted((MODULE.parent / "LDCTDenoiseModuleLib").glob("*.py"))


def test_the_module_file_is_short() -> None:
    assert len(MODULE.read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_a_file_of_the_library_has_one_class_and_types(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert sum(isinstance(node, ast.ClassDef) for node in tree.body) <= 1
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert not bare, f"{node.name}: {bare}"
            assert node.returns is not None, f"{node.name}: what it returns"
