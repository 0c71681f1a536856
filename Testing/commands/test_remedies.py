"""What the command line adds to the library's sentences; the library itself names no flag."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from LDCTDenoiseLib.commands.remedies import advice
from LDCTDenoiseLib.errors import Code, InputError, LDCTDenoiseError, NotHUError, OutputError
from Testing.conftest import REPOSITORY

LIBRARY = REPOSITORY / "LDCTDenoiseLib"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OutputError("a exists.", Code.EXISTS), "a exists; pass --overwrite to replace it, or choose another name."),
        (
            NotHUError("The lowest voxel is 0."),
            "The lowest voxel is 0. Convert them to HU, or, if they are, pass --force to a command that has it.",
        ),
        (InputError("There is no axis 4."), "There is no axis 4."),
        (MemoryError(), "Not enough memory for this volume; close other programs, or cut the volume."),
        (KeyError("a"), "Unexpected failure (KeyError: 'a'); run again with --debug."),
    ],
)
def test_the_remedy_follows_the_fact(error: Exception, line: str) -> None:
    assert advice(error) == line


def test_every_error_has_a_code() -> None:
    def below(kind: type[LDCTDenoiseError]) -> list[type[LDCTDenoiseError]]:
        return [kind, *(one for child in kind.__subclasses__() for one in below(child))]

    own = [kind for kind in below(LDCTDenoiseError) if kind.__module__ == LDCTDenoiseError.__module__]
    assert all(isinstance(kind.code, Code) for kind in own)
    assert all(kind.code is not Code.FAILURE for kind in own if kind is not LDCTDenoiseError)


def messages(path: Path) -> list[str]:
    """The text of everything that is raised in a file."""
    raised = [node.exc for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Raise)]
    return [
        str(part.value)
        for error in raised
        if error is not None
        for part in ast.walk(error)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]


def test_the_library_names_neither_flags_nor_buttons() -> None:
    rooms = [path for path in LIBRARY.rglob("*.py") if "commands" not in path.parts]
    found = {
        path.name: text for path in rooms for text in messages(path) if re.search(r"(?<![\w`])--\w|[Pp]ress |[Tt]ick ", text)
    }
    found.pop("paper_figures.py", None)  # tells which command makes a model
    assert not found
