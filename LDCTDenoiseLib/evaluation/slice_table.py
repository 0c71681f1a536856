"""The table of quality, slice by slice: PSNR, SSIM, VIF and RMSE of each method."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..measures.image_quality import WINDOWS, Window, psnr_of_arrays, rmse, ssim, vif
from ..system.files import replace_when_complete
from .dose_pair import DosePair

RMSE = "RMSE, HU"


def measure_name(measure: str, window: Window) -> str:
    """A measure as it stands in tables, with window and data range."""
    unit = ", dB" if measure == "PSNR" else ""
    return f"{measure}{unit}, {window.label}"


@dataclass(frozen=True)
class SliceRow:
    """One method on one slice.

    Attributes:
        patient, volume, slice, method: which; slices are counted from 0 in the volume.
        values: by the measure's name.
    """

    patient: str
    volume: str
    slice: int
    method: str
    values: dict[str, float]


def slice_rows(pair: DosePair, method: str, image: np.ndarray, windows: Sequence[Window] = WINDOWS) -> list[SliceRow]:
    """A row for each slice.

    Args:
        pair: whose normal dose is the reference.
        method: the image's name in the table.
        image: (slices, rows, columns), HU.
        windows: of PSNR, SSIM and VIF.

    Raises:
        MissingExtraError: the ``report`` extra is not installed.
    """
    return [
        SliceRow(pair.patient, pair.volume, index, method, quality(image[n : n + 1], pair.full[n : n + 1], windows))
        for n, index in enumerate(pair.slices)
    ]


def quality(image: np.ndarray, reference: np.ndarray, windows: Sequence[Window] = WINDOWS) -> dict[str, float]:
    """All measures of (slices, rows, columns) HU by their names; slices of less than 41 px have no VIF (nan)."""
    values = {}
    for window in windows:
        values[measure_name("PSNR", window)] = psnr_of_arrays(image, reference, window)
        values[measure_name("SSIM", window)] = ssim(image, reference, window)
        values[measure_name("VIF", window)] = vif(image, reference, window) if min(image.shape[1:]) >= 41 else float("nan")
    values[RMSE] = rmse(image, reference)
    return values


def write_rows(path: Path, keys: Sequence[str], rows: Sequence[tuple[Sequence[object], dict[str, float]]]) -> None:
    """Write a table as CSV, whole or not at all: key columns, then the values' columns."""
    with replace_when_complete(path, ".csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*keys, *(rows[0][1] if rows else ())])
        for key, values in rows:
            writer.writerow([*key, *(f"{value:.6g}" for value in values.values())])


def write_slice_table(path: Path, rows: Sequence[SliceRow]) -> None:
    """The CSV per slice."""
    keyed = [((row.patient, row.volume, row.slice, row.method), row.values) for row in rows]
    write_rows(path, ("patient", "volume", "slice", "method"), keyed)
