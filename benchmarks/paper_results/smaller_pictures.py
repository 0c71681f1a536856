"""Makes a folder of results small enough to commit: pages get their pictures as lossless WebP, then all get fewer pixels."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.system.files import replace_when_complete

MOST_BYTES = 10_000_000
_SHRINK = 0.8
_LEAST_PIXELS = 400
_EMBEDDED = re.compile(r"data:image/(?:png|webp);base64,([A-Za-z0-9+/=]+)")
Change = Callable[[Image.Image], Image.Image]


def fit(folder: Path, most: int = MOST_BYTES) -> int:
    """Make the pictures of a folder, and those in its pages, smaller until all its files are below the limit.

    Returns:
        The bytes that they have.

    Raises:
        InputError: that was not enough.
    """
    if size_of(folder) > most:
        _change_pages(folder, lambda image: image)
    while (before := size_of(folder)) > most:
        _change_pages(folder, fewer_pixels)
        _change_files(folder, fewer_pixels)
        if size_of(folder) >= before:
            raise InputError(
                f"{folder} holds {before / 1e6:.1f} MB, more than {most / 1e6:g} MB; remove what does not belong there."
            )
    return size_of(folder)


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def fewer_pixels(image: Image.Image) -> Image.Image:
    """A picture with a fifth fewer rows and columns; a small one stays as it is."""
    if image.width <= _LEAST_PIXELS:
        return image
    return image.resize((round(image.width * _SHRINK), round(image.height * _SHRINK)), Image.Resampling.LANCZOS)


def _change_pages(folder: Path, change: Change) -> None:
    def embedded(found: re.Match[str]) -> str:
        # Half the size of PNG, and, unlike a palette, it keeps the colours of differences.
        changed = _changed(base64.b64decode(found[1]), change, format="WEBP", lossless=True)
        return "data:image/webp;base64," + base64.b64encode(changed).decode("ascii")

    for path in sorted(folder.rglob("*.html")):
        text = _EMBEDDED.sub(embedded, path.read_text(encoding="utf-8"))
        with replace_when_complete(path, ".html") as temporary:
            temporary.write_text(text, encoding="utf-8")


def _change_files(folder: Path, change: Change) -> None:
    for path in sorted(folder.rglob("*.png")):
        changed = _changed(path.read_bytes(), change, format="PNG", optimize=True)
        with replace_when_complete(path, ".png") as temporary:
            temporary.write_bytes(changed)


def _changed(data: bytes, change: Change, **settings: str | bool) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        change(image.convert("RGB")).save(buffer, **settings)  # type: ignore[arg-type]
    return buffer.getvalue()
