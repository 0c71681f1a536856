"""An analytic body phantom: a true image without noise, for demo, tests and measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from .noise_insertion import simulate_low_dose

FIELD_MM = 400.0
FULL_DOSE_PHOTONS = 7e5
"""Photons per ray that give the phantom's soft tissue a noise of 15 to 20 HU, a usual abdomen scan."""
_FIRST_SCAN_SEED = 10**9
"""Scans draw other noise than ``simulate_low_dose``: the same noise inserted into a scan once more would add up wrongly."""
POINT_SPREAD_MM = 1.2
"""Full width at half maximum of the point spread that edges have, as a body kernel gives it."""
_AIR_HU = -1000
_SUBSAMPLES = 4


@dataclass(frozen=True)
class Insert:
    """An elliptic cylinder along the slices.

    Attributes:
        name: what it stands for.
        hu: its value.
        centre: (row, column) in mm from the middle of the field.
        radii: (row, column) in mm.
        taper: share by which its radii shrink from the first slice to the last.
    """

    name: str
    hu: float
    centre: tuple[float, float]
    radii: tuple[float, float]
    taper: float = 0.0


def _ring(name: str, hus: list[float], centre: tuple[float, float], distance: float, radius: float) -> list[Insert]:
    inserts = []
    for index, hu in enumerate(hus):
        angle = 2 * math.pi * index / len(hus)
        place = (centre[0] + distance * math.sin(angle), centre[1] + distance * math.cos(angle))
        inserts.append(Insert(name, hu, place, (radius, radius)))
    return inserts


LIVER_HU = 60.0
LIVER_CENTRE = (-22.0, -72.0)
MUSCLE_HU = 50.0
LOW_CONTRASTS_HU = (5.0, 10.0, 15.0, 20.0)
EDGE_CONTRASTS_HU = (50.0, 100.0, 200.0, 400.0)

LOW_CONTRAST_DISCS = tuple(
    _ring("low-contrast disc", [LIVER_HU + c for c in LOW_CONTRASTS_HU], LIVER_CENTRE, 26.0, 9.0)
    + _ring("small low-contrast disc", [LIVER_HU - c for c in LOW_CONTRASTS_HU[::-1]], LIVER_CENTRE, 9.0, 3.0)
)
EDGE_CYLINDERS = tuple(_ring("edge cylinder", [MUSCLE_HU + c for c in EDGE_CONTRASTS_HU], (-32.0, 82.0), 22.0, 9.0))

# Painted in this order: later ones cover earlier ones.
INSERTS = (
    Insert("skin and fat", -100.0, (0.0, 0.0), (125.0, 170.0), 0.05),
    Insert("muscle", MUSCLE_HU, (0.0, 0.0), (107.0, 152.0), 0.05),
    Insert("abdominal fat", -95.0, (-8.0, 5.0), (78.0, 118.0), 0.05),
    Insert("liver", LIVER_HU, LIVER_CENTRE, (56.0, 54.0), 0.1),
    Insert("bowel and muscle", MUSCLE_HU, (-32.0, 82.0), (42.0, 42.0)),
    Insert("bowel gas", -950.0, (-62.0, 22.0), (10.0, 17.0)),
    Insert("stomach", 30.0, (-30.0, 15.0), (20.0, 18.0)),
    Insert("left kidney", 140.0, (48.0, 62.0), (24.0, 17.0), 0.2),
    Insert("right kidney", 140.0, (52.0, -58.0), (24.0, 17.0), 0.2),
    Insert("aorta", 180.0, (32.0, 10.0), (10.0, 10.0)),
    Insert("vena cava", 110.0, (32.0, -16.0), (9.0, 11.0)),
    Insert("vertebra", 450.0, (66.0, 0.0), (20.0, 24.0)),
    Insert("marrow", 180.0, (66.0, 0.0), (16.5, 20.5)),
    Insert("spinal canal", 20.0, (92.0, 0.0), (8.0, 9.0)),
    *(Insert("rib", 700.0, (row, column), (4.0, 7.0)) for row in (-52.0, 0.0, 52.0) for column in (-134.0, 134.0)),
    *LOW_CONTRAST_DISCS,
    *EDGE_CYLINDERS,
)


@dataclass(frozen=True)
class Phantom:
    """A true volume.

    Attributes:
        truth: (slices, rows, columns) float32 HU without noise, blurred by ``POINT_SPREAD_MM``.
        spacing: (rows, columns) pixel spacing in mm.
    """

    truth: np.ndarray
    spacing: tuple[float, float]

    def scan(
        self, dose_fraction: float = 1.0, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """The phantom as scanned with a fraction of a usual dose: int16 HU with all of that dose's noise.

        Noise insertion adds what is missing from full dose down to a fraction; the truth has no noise at all. An
        insertion at a/(1+a) adds a variance of (1-a')/a' = 1/a full-dose variances: the whole noise of dose a.
        """
        fraction = dose_fraction / (1 + dose_fraction)
        noisy = simulate_low_dose(
            self.truth,
            self.spacing,
            fraction,
            photons=FULL_DOSE_PHOTONS,
            seed=_FIRST_SCAN_SEED + seed,
            progress=progress,
        )
        return np.rint(noisy).astype(np.int16)

    def mask(self, insert: Insert, margin_mm: float = 0.0) -> np.ndarray:
        """Voxels inside an insert by at least a margin: (slices, rows, columns) boolean."""
        slices, rows, columns = self.truth.shape
        y, x = _axis(rows, self.spacing[0]), _axis(columns, self.spacing[1])
        return np.stack([_inside(insert, y, x, _progress(z, slices), margin_mm) for z in range(slices)])


def other_body(seed: int) -> tuple[Insert, ...]:
    """The body of another patient: each insert moved by up to 6 mm, resized by up to 15 % and changed by up to 10 HU."""
    rng = np.random.default_rng(seed)
    body = []
    for insert in INSERTS:
        moved, resized, changed = rng.uniform(-6, 6, 2), rng.uniform(0.85, 1.15), rng.uniform(-10, 10)
        centre = insert.centre[0] + moved[0], insert.centre[1] + moved[1]
        radii = insert.radii[0] * resized, insert.radii[1] * resized
        body.append(Insert(insert.name, insert.hu + changed, centre, radii, insert.taper))
    return tuple(body)


def make_phantom(
    slices: int = 8,
    size: int = 512,
    inserts: Sequence[Insert] = INSERTS,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Phantom:
    """The body phantom: body ellipse, organs, low-contrast discs of 5 to 20 HU, bone, gas, edges of 50 to 400 HU.

    Args:
        slices: how many; the organs change a little along them.
        size: rows and columns of the matrix, over a field of 400 mm.
        inserts: what it is made of, in the order of painting.
        progress: called with (slices done, slices in all).
    """
    spacing = FIELD_MM / size
    fine = _axis(size * _SUBSAMPLES, spacing / _SUBSAMPLES)
    truth = np.empty((slices, size, size), np.float32)
    for z in range(slices):
        image = np.full((len(fine), len(fine)), _AIR_HU, np.float32)
        for insert in inserts:
            _paint(image, insert, fine, _progress(z, slices))
        # Blurred on the fine grid: on the pixels' own, the blur would be too narrow for its kernel to be a Gaussian's.
        # Averaging then gives borders their partial-volume values.
        blurred = _blur(image, spacing / _SUBSAMPLES)
        truth[z] = blurred.reshape(size, _SUBSAMPLES, size, _SUBSAMPLES).mean(axis=(1, 3))
        if progress is not None:
            progress(z + 1, slices)
    return Phantom(truth, (spacing, spacing))


def _paint(image: np.ndarray, insert: Insert, axis: np.ndarray, progress: float) -> None:
    """Paint an insert into a square image whose rows and columns lie at ``axis``, looking only at the part that it reaches."""
    parts = []
    for centre, radius in zip(insert.centre, insert.radii, strict=True):
        first, last = np.searchsorted(axis, (centre - radius, centre + radius))
        parts.append(slice(max(0, int(first) - 1), int(last) + 1))
    rows, columns = parts
    image[rows, columns][_inside(insert, axis[rows], axis[columns], progress)] = insert.hu


def _blur(image: np.ndarray, spacing: float) -> np.ndarray:
    sigma_mm = POINT_SPREAD_MM / (2 * math.sqrt(2 * math.log(2)))
    variance_pixels = (sigma_mm / spacing) ** 2
    blurred = sitk.DiscreteGaussian(sitk.GetImageFromArray(image), variance=[variance_pixels] * 2, useImageSpacing=False)
    return sitk.GetArrayFromImage(blurred)


def _axis(count: int, spacing: float) -> np.ndarray:
    return ((np.arange(count) - (count - 1) / 2) * spacing).astype(np.float32)


def _progress(z: int, slices: int) -> float:
    return z / max(1, slices - 1)


def _inside(insert: Insert, y: np.ndarray, x: np.ndarray, progress: float, margin_mm: float = 0.0) -> np.ndarray:
    shrink = 1 - insert.taper * progress
    radius_y, radius_x = (radius * shrink - margin_mm for radius in insert.radii)
    if radius_y <= 0 or radius_x <= 0:
        return np.zeros((len(y), len(x)), bool)
    return ((y[:, None] - insert.centre[0]) / radius_y) ** 2 + ((x[None, :] - insert.centre[1]) / radius_x) ** 2 <= 1
