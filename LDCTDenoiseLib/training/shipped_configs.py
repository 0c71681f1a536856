"""The training configurations that come with the package, by name. Light: the command line's help lists them."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError
from ..system.named_files import named_or_file

FOLDER = Path(__file__).parent / "configs"
SUFFIX = ".yaml"


def shipped_configs() -> dict[str, Path]:
    """The configurations' files by name."""
    return {path.stem: path for path in sorted(FOLDER.glob(f"*{SUFFIX}"))}


def find_config(name_or_file: str | os.PathLike[str]) -> Path:
    """Path of a shipped configuration by its name, or the path itself when it is one.

    Raises:
        InputError: neither a shipped configuration nor a file.
    """
    shipped = shipped_configs()
    if path := named_or_file(name_or_file, shipped):
        return path
    raise InputError(
        f"There is no configuration '{name_or_file}': it is neither a file nor a shipped configuration ({', '.join(shipped)})."
    )
