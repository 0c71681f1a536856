"""Both doses of a pair, slice by slice at the same places."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ..ct.hu_check import check_ct
from ..dicom.ct_series import read_ct_series
from ..errors import InputError
from ..volumes.volume_file import holds_dicom, read_volume
from .pairs_csv import Pair, Source
from .slice_places import SlicePlaces, match_slices, places_of_scan, places_of_slices

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairVolumes:
    """The slices that both doses have.

    Attributes:
        full: normal dose, (slices, rows, columns) HU.
        low: low dose, as ``full``; None where the pair has none.
        spacing: (rows, columns), mm.
        left_out: slices of the normal and of the low dose without a partner.
    """

    full: np.ndarray
    low: np.ndarray | None
    spacing: tuple[float, float]
    left_out: tuple[int, int] = (0, 0)


def read_pair(pair: Pair) -> PairVolumes:
    """Read a pair and keep the slices that lie at the same place in both doses, whatever files they are in.

    Missing slices and gaps are no fault: each slice stands for itself.

    Raises:
        InputError: a volume cannot be read, holds NaN or is not in HU, or the two have no slice in common.
    """
    full, full_places = _read(pair.full)
    if pair.low is None:
        return PairVolumes(full, None, full_places.spacing)
    low, low_places = _read(pair.low)
    try:
        in_full, in_low = match_slices(full_places, low_places)
    except InputError as error:
        raise InputError(f"The pair of {pair.patient} cannot be used: {error}; give both doses of one scan.") from error
    left_out = len(full) - len(in_full), len(low) - len(in_low)
    if any(left_out):
        log.warning("Left out of %s: %d normal-dose and %d low-dose slices without a partner.", pair.patient, *left_out)
    return PairVolumes(full[in_full], low[in_low], full_places.spacing, left_out)


def _read(source: Source) -> tuple[np.ndarray, SlicePlaces]:
    if not source.path.exists():
        raise InputError(f"{source.path} does not exist; correct the CSV of pairs, or get the data.")
    if not holds_dicom(source.path):
        scan = read_volume(source.path)
        check_ct(scan.hu, scan.padding)
        return scan.hu, places_of_scan(scan)
    series = read_ct_series(source.path, source.series)
    if len(series.acquisitions) > 1:
        raise InputError(f"{source} holds {len(series.acquisitions)} acquisitions in one series; give one alone.")
    check_ct(series.hu, series.padding)
    return series.hu, places_of_slices(series.slices)
