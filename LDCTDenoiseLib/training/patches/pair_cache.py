"""Pairs of both doses prepared for training: the slices that they have in common."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.pairs_csv import Pair, Source
from ...data.read_pair import read_pair
from ...denoising.batch.items import files_of_source
from ...denoising.batch.records import content_hash
from ...dicom.find_series import choose_series
from ...errors import InputError
from ...volumes.volume_file import holds_dicom
from .array_cache import cached_arrays
from .noise_cache import as_int16
from .stored_array import AnyArray

log = logging.getLogger(__name__)

_FORMAT = 3


@dataclass(frozen=True)
class PreparedPair:
    """Both doses at the same places.

    Attributes:
        full, low: (slices, rows, columns) int16 HU.
        spacing: (rows, columns) in mm.
    """

    full: AnyArray
    low: AnyArray
    spacing: tuple[float, float]


def prepare_pair(pair: Pair, cache: Path) -> PreparedPair:
    """Read a pair, or reuse what an earlier call left in the cache if the content of its files is the same.

    Args:
        pair: with a low dose.
        cache: folder for the arrays; one sub-folder per pair, named after the content of its files.

    Raises:
        InputError: as ``data.read_pair.read_pair``.
    """
    assert pair.low is not None
    record = [_FORMAT, _content(pair.full), _content(pair.low)]
    name = hashlib.sha256(json.dumps(record).encode()).hexdigest()[:16]
    arrays = cached_arrays(cache / f"pair-{name}", lambda: _read(pair))
    rows, columns = arrays["spacing"][:].tolist()
    return PreparedPair(arrays["full"], arrays["low"], (rows, columns))


def _read(pair: Pair) -> dict[str, np.ndarray]:
    log.info("Preparing %s.", pair.patient)
    volumes = read_pair(pair)
    assert volumes.low is not None
    return {"full": as_int16(volumes.full), "low": as_int16(volumes.low), "spacing": np.array(volumes.spacing)}


def _content(source: Source) -> str:
    """Hash of the files that a source is read from: names, sizes and times may be the same for two patients."""
    if not source.path.exists():
        raise InputError(f"{source.path} does not exist; correct the CSV of pairs, or get the data.")
    if holds_dicom(source.path):
        return content_hash(choose_series(source.path, source.series).paths)
    return content_hash(files_of_source(source.path))
