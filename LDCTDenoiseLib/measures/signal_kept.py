"""Signal kept: how much of a small disc of known contrast comes through a denoiser.

With s a disc, blurred by the scanner's point spread, that is added to a scan,

    signal kept = <output(scan + s) - output(scan), s> / <s, s>.

1 is kept, 0 is wiped out. It needs no noise-free reference. It is linear in the output, so that a blend of input and output lies
on the straight line between 1 and the output's own value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError

SCANNER_BLUR_MM = 0.5
"""SD of the Gaussian that stands for the scanner's point spread: a soft body kernel (MTF50 near 0.37 /mm)."""
FEWEST_PLACES = 24
"""Places a slice over which signal kept is averaged: single places differ by what lies around them."""
APART_PX = 40
"""Distance of places in one pass of a denoiser. Discs that far apart do not see each other: measured, see docs/evaluate.md."""
_SUBPIXELS = 8
_PITCHES_PX = (48, 40, 32, 24, 16, 12, 8)

Denoise = Callable[[np.ndarray], np.ndarray]
"""(slices, rows, columns) float32 HU to the denoised volume of the same shape."""
Place = tuple[int, int, int]
"""Slice, row and column."""


@dataclass(frozen=True)
class Lesion:
    """A disc of uniform contrast as a scanner shows it.

    Attributes:
        contrast_hu: HU above (or, negative, below) its surroundings, before blur.
        radius_mm: of the disc.
        blur_mm: SD of the scanner's Gaussian point spread.
    """

    contrast_hu: float
    radius_mm: float
    blur_mm: float = SCANNER_BLUR_MM

    def __post_init__(self) -> None:
        if not (math.isfinite(self.contrast_hu) and self.contrast_hu != 0):
            raise InputError(f"The contrast is {self.contrast_hu:g} HU; it must be a number other than 0.")
        if not (math.isfinite(self.radius_mm) and self.radius_mm > 0):
            raise InputError(f"The lesion's diameter is {2 * self.radius_mm:g} mm; it must be a number above 0.")
        if not (math.isfinite(self.blur_mm) and self.blur_mm > 0):
            raise InputError(f"The scanner's blur is {self.blur_mm:g} mm; it must be above 0.")

    @property
    def label(self) -> str:
        """As it stands in tables."""
        return f"{self.contrast_hu:g} HU, {self.radius_mm:g} mm"

    def shape(self, spacing: tuple[float, float]) -> tuple[int, int]:
        """Rows and columns of :meth:`image`."""
        reach = self.radius_mm + 3 * self.blur_mm
        rows, columns = (2 * math.ceil(reach / mm - 0.5) + 1 for mm in spacing)
        return rows, columns

    def image(self, spacing: tuple[float, float]) -> np.ndarray:
        """The blurred disc in the middle of an image with odd sides, averaged over each pixel, HU.

        Args:
            spacing: (rows, columns) in mm.
        """
        # Points of the sharp disc, finer than pixels and than the blur, and what each gives to every pixel along one axis.
        steps = [min(mm, 2 * self.blur_mm) / _SUBPIXELS for mm in spacing]
        points = [(np.arange(n := 2 * math.ceil(self.radius_mm / step) + 1) - n // 2) * step for step in steps]
        disc = np.hypot(points[0][:, None], points[1][None, :]) <= self.radius_mm
        rows, columns = (
            _share_of_pixels(at, n, mm, self.blur_mm) for at, n, mm in zip(points, self.shape(spacing), spacing, strict=True)
        )
        image = rows @ disc @ columns.T
        volume = self.contrast_hu * math.pi * self.radius_mm**2 / (spacing[0] * spacing[1])
        return (image * (volume / (disc.sum()))).astype(np.float32)


def _share_of_pixels(points_mm: np.ndarray, pixels: int, pixel_mm: float, blur_mm: float) -> np.ndarray:
    """(pixels, points): share of a blurred point that falls into each of an odd number of pixels along one axis."""
    borders = (np.arange(pixels + 1) - pixels / 2) * pixel_mm
    z = (borders[:, None] - points_mm[None, :]) / (blur_mm * math.sqrt(2))
    return np.diff(0.5 * (1 + np.vectorize(math.erf)(z)), axis=0)


LESIONS = (Lesion(10, 6), Lesion(20, 4), Lesion(40, 2.5), Lesion(100, 1.2))
"""From large and faint to small and bright; the second one stands for all in short tables."""
SMALL_FAINT = LESIONS[1]


def signal_kept(
    denoise: Denoise,
    scan: np.ndarray,
    places: Sequence[Place],
    lesion: Lesion,
    spacing: tuple[float, float],
    *,
    output: np.ndarray | None = None,
    apart_px: int = APART_PX,
    both_signs: bool = True,
) -> np.ndarray:
    """Share of a lesion that is kept at each place: ``<denoise(scan + s) - denoise(scan), s> / <s, s>``.

    Lesions go into a slice many at a time where they are far enough apart; more passes are made for the others.

    Args:
        denoise: (slices, rows, columns) float32 HU to the same shape. It is given slices one after the other.
        scan: (slices, rows, columns), HU. Not changed.
        places: of the lesions' middles; :func:`spread_places` finds some.
        lesion: what is put there.
        spacing: (rows, columns) in mm.
        output: ``denoise(scan)``, if it is there already.
        apart_px: least distance of lesions in one pass.
        both_signs: put the opposite contrast at every other place.

    Returns:
        (places,) float64; the measure is their mean.

    Raises:
        InputError: there are no places, or one does not lie in the scan with its whole lesion.

    Examples:
        >>> import numpy as np
        >>> scan = np.zeros((1, 64, 64), np.float32)
        >>> signal_kept(lambda hu: 0.8 * hu, scan, [(0, 32, 32)], Lesion(20, 4), (0.7, 0.7)).round(3)
        array([0.8])
    """
    if not len(places):
        raise InputError("There is no place to put a lesion; choose a slice with soft tissue, or name a place.")
    disc = lesion.image(spacing)
    kept = np.empty(len(places))
    denoised: dict[int, np.ndarray] = {}
    for numbers in passes(places, lesion, spacing, apart_px):
        index = places[numbers[0]][0]
        before = np.asarray(scan[index], np.float32)
        if index not in denoised:
            denoised[index] = np.asarray(denoise(before[None])[0] if output is None else output[index], np.float64)
        where = [place_in_image(places[number], disc.shape, scan.shape) for number in numbers]
        signs = [-1 if both_signs and n % 2 else 1 for n in range(len(numbers))]
        with_lesions = before.copy()
        for part, sign in zip(where, signs, strict=True):
            with_lesions[part] += sign * disc
        change = denoise(with_lesions[None])[0] - denoised[index]
        for number, part, sign in zip(numbers, where, signs, strict=True):
            kept[number] = sign * share_of(disc, change[part])
    return kept


def share_of(disc: np.ndarray, change: np.ndarray) -> float:
    """How much of a lesion's image a change of the output is: ``<change, disc> / <disc, disc>``."""
    return float(np.sum(change.astype(np.float64) * disc) / np.sum(disc.astype(np.float64) ** 2))


def passes(places: Sequence[Place], lesion: Lesion, spacing: tuple[float, float], apart_px: int = APART_PX) -> list[list[int]]:
    """Indices of the places in groups, one for each pass of a denoiser: of one slice, and far enough apart.

    Args:
        places: slice, row and column of each.
        lesion, spacing: lesions never overlap, whatever the distance.
        apart_px: least distance of two places.
    """
    apart = max(apart_px, *lesion.shape(spacing))
    groups: list[list[int]] = []
    for number, place in enumerate(places):
        for group in groups:
            if all(place[0] == places[n][0] and math.dist(place[1:], places[n][1:]) >= apart for n in group):
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def places_for(lesion: Lesion, mask: np.ndarray, spacing: tuple[float, float], fewest: int = FEWEST_PLACES) -> list[Place]:
    """:func:`spread_places` with room for a whole lesion, in slice 0.

    Args:
        lesion: what is to be put there.
        mask: (rows, columns), where its middle may lie.
        spacing: (rows, columns) in mm.
        fewest: how many places to look for.
    """
    return [(0, *place) for place in spread_places(mask, max(lesion.shape(spacing)) // 2, fewest)]


def away_from_borders(mask: np.ndarray, margin_px: int) -> np.ndarray:
    """The mask of a slice without what lies nearer to its borders."""
    inside = np.zeros_like(mask)
    keep = tuple(slice(margin_px, max(margin_px, n - margin_px)) for n in mask.shape)
    inside[keep] = mask[keep]
    return inside


def spread_places(mask: np.ndarray, margin_px: int, fewest: int = FEWEST_PLACES) -> list[tuple[int, int]]:
    """Places spread evenly over the mask of a slice: the widest grid that has enough of them.

    Args:
        mask: (rows, columns), where a lesion's middle may lie.
        margin_px: distance to keep from the slice's borders.
        fewest: how many places to look for.

    Returns:
        (row, column) of each; fewer than asked for, or none, where the mask is too small.
    """
    inside = away_from_borders(mask, margin_px)
    best: list[tuple[int, int]] = []
    for pitch in _PITCHES_PX:
        step = pitch // 4
        for first in range(0, pitch, step):
            for second in range(0, pitch, step):
                found = np.argwhere(inside[first::pitch, second::pitch])
                if len(found) > len(best):
                    best = [(int(row) * pitch + first, int(column) * pitch + second) for row, column in found]
        if len(best) >= fewest:
            break
    return best


def place_in_image(place: Place, size: tuple[int, ...], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns that a lesion's image covers.

    Args:
        place: of its middle.
        size: rows and columns of the lesion's image.
        shape: (slices, rows, columns) of the scan.

    Raises:
        InputError: it would cross the border.
    """
    _, row, column = place
    parts = [slice(middle - side // 2, middle + side // 2 + 1) for middle, side in zip((row, column), size, strict=True)]
    if any(part.start < 0 or part.stop > length for part, length in zip(parts, shape[1:], strict=True)):
        raise InputError(
            f"The lesion at row {row}, column {column} of slice {place[0]} would cross the border of the image "
            f"({shape[1]} x {shape[2]}); choose a place further inside, or a smaller lesion."
        )
    return parts[0], parts[1]
