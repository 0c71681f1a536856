"""Arrays kept on disk and read part by part; an entry that is damaged or incomplete is made anew."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ...errors import OutputError
from ...system.files import replace_folder_when_complete
from .stored_array import StoredArray

log = logging.getLogger(__name__)

_MANIFEST = "manifest.json"
_CHUNK_BYTES = 2**24


def entry_name(array: np.ndarray, record: object) -> str:
    """Name of the entry for what is made of an array; ``record`` tells in JSON what else it depends on."""
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes())
    digest.update(json.dumps(record).encode())
    return digest.hexdigest()[:16]


def cached_arrays(folder: Path, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, StoredArray]:
    """The arrays of a cache entry as they lie on the disk, made first where they are missing or damaged.

    Args:
        folder: of the entry; its name must tell everything that the arrays depend on.
        make: computes the arrays.

    Raises:
        OutputError: the cache cannot be written, on a full disk for instance, or too many files are open to read it.
    """
    found = _read(folder)
    if found is None:
        if folder.exists():
            log.warning("The cache entry %s is damaged or incomplete; it is made anew.", folder)
        _write(folder, make())
        found = _read(folder)
        assert found is not None, f"{folder} was damaged while it was written"
    return found


def _read(folder: Path) -> dict[str, StoredArray] | None:
    """The arrays of an entry, or None unless every byte is as it was written."""
    try:
        checksums = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if any(_checksum(folder / f"{name}.npy") != checksum for name, checksum in checksums.items()):
            return None
        return {name: StoredArray(folder / f"{name}.npy") for name in checksums}
    except (OSError, ValueError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            raise OutputError(
                f"The cache entry {folder} cannot be read, for too many files are open; raise their limit (ulimit -n)."
            ) from error
        return None


def _write(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replace_folder_when_complete(folder, check_old=lambda old: None) as temporary:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        checksums = {name: _checksum(temporary / f"{name}.npy") for name in arrays}
        (temporary / _MANIFEST).write_text(json.dumps(checksums), encoding="utf-8")


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value
