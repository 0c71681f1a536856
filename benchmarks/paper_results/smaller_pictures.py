"""Makes a folder of results small enough to commit: its pictures get fewer colours, then fewer pixels."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.files import replace_when_complete

MOST_BYTES = 10_000_000
_COLOURS = 256
_SHRINK = 0.8
_LEAST_PIXELS = 400
_EMBEDDED = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]+)")


def fit(folder: Path, most: int = MOST_BYTES) -> int:
    """Make the PNGs of a folder, and those in its pages, smaller until all its files are below the limit.

    Returns:
        The bytes that they have.

    Raises:
        InputError: that was not enough.
    """
    if size_of(folder) > most:
        _change(folder, fewer_colours)
    while size_of(folder) > most:
        before = size_of(folder)
        _change(folder, fewer_pixels)
        if size_of(folder) >= before:
            raise InputError(
                f"{folder} holds {before / 1e6:.1f} MB, more than {most / 1e6:g} MB; remove what does not belong there."
            )
    return size_of(folder)


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def fewer_colours(png: bytes) -> bytes:
    """A picture in a palette of 256 colours."""
    with Image.open(io.BytesIO(png)) as image:
        return _png(image.convert("RGB").quantize(_COLOURS))


def fewer_pixels(png: bytes) -> bytes:
    """A picture with a fifth fewer rows and columns; a small one stays as it is."""
    with Image.open(io.BytesIO(png)) as image:
        if image.width <= _LEAST_PIXELS:
            return png
        size = round(image.width * _SHRINK), round(image.height * _SHRINK)
        return _png(image.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(_COLOURS))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _change(folder: Path, change: Callable[[bytes], bytes]) -> None:
    def embedded(found: re.Match[str]) -> str:
        return "data:image/png;base64," + base64.b64encode(change(base64.b64decode(found[1]))).decode("ascii")

    for path in sorted(folder.rglob("*.png")):
        changed = change(path.read_bytes())
        with replace_when_complete(path, ".png") as temporary:
            temporary.write_bytes(changed)
    for path in sorted(folder.rglob("*.html")):
        text = _EMBEDDED.sub(embedded, path.read_text(encoding="utf-8"))
        with replace_when_complete(path, ".html") as temporary:
            temporary.write_text(text, encoding="utf-8")
