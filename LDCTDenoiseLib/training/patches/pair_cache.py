"""Pairs of both doses prepared for training: the slices that they have in common."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.pairs_csv import Pair, Source
from ...data.read_pair import read_pair
from ...errors import InputError
from ...volumes.payload import find_payload
from ...volumes.volume_file import volume_suffix
from .array_cache import cached_arrays
from .noise_cache import as_int16

log = logging.getLogger(__name__)

_FORMAT = 2


@dataclass(frozen=True)
class PreparedPair:
    """Both doses at the same places.

    Attributes:
        full, low: (slices, rows, columns) int16 HU.
        spacing: (rows, columns) in mm.
    """

    full: np.ndarray
    low: np.ndarray
    spacing: tuple[float, float]


def prepare_pair(pair: Pair, cache: Path) -> PreparedPair:
    """Read a pair, or reuse what an earlier call left in the cache if its files are unchanged since.

    Args:
        pair: with a low dose.
        cache: folder for the arrays; one sub-folder per pair, named after its files, their sizes and times.

    Raises:
        InputError: as ``data.read_pair.read_pair``.
    """
    assert pair.low is not None
    state = [_FORMAT, pair.full.series, _state(pair.full), pair.low.series, _state(pair.low)]
    name = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
    arrays = cached_arrays(cache / f"pair-{name}", lambda: _read(pair))
    rows, columns = arrays["spacing"].tolist()
    return PreparedPair(arrays["full"], arrays["low"], (rows, columns))


def _read(pair: Pair) -> dict[str, np.ndarray]:
    log.info("Preparing %s.", pair.patient)
    volumes = read_pair(pair)
    assert volumes.low is not None
    return {"full": as_int16(volumes.full), "low": as_int16(volumes.low), "spacing": np.array(volumes.spacing)}


def _state(source: Source) -> list[tuple[str, int, int]]:
    """Name, size and time of every file that a source is read from."""
    path = source.path
    if not path.exists():
        raise InputError(f"{path} does not exist; correct the CSV of pairs, or get the data.")
    files = {path}
    if path.is_dir():
        files = {file for file in path.rglob("*") if file.is_file()}
    elif suffix := volume_suffix(path):
        files.add(find_payload(path, suffix).path)
    status = [(os.path.relpath(file, path.parent), file.stat()) for file in sorted(files)]
    return [(name, one.st_size, one.st_mtime_ns) for name, one in status]
