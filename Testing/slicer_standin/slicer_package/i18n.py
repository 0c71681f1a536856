"""``slicer.i18n``: the texts stay English, but go the way that Slicer's translation goes."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def translate(context: str, text: str) -> str:
    import slicer

    return slicer.app.translate(context, text)


def getContext(sourceFile: str) -> str:
    """The file's name, with the package's where it lies in one."""
    path = Path(sourceFile)
    package = f"{path.parent.name}." if (path.parent / "__init__.py").is_file() else ""
    return package + path.stem


def tr(text: str) -> str:
    translated = translate(getContext(sys._getframe(1).f_code.co_filename), text)
    placeholders = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})")
    return translated if set(placeholders.findall(text)) == set(placeholders.findall(translated)) else text
