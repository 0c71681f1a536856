"""Files that come with the package, by name. Light: the command line's help imports it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def named_or_file(name_or_file: str | os.PathLike[str], shipped: Mapping[str, Path]) -> Path | None:
    """The file that comes with the package by its name, or else the path itself when it is a file; None when it is neither."""
    path = shipped.get(str(name_or_file), Path(name_or_file))
    return path if path.is_file() else None
