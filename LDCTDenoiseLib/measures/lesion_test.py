"""The lesion test: would a lesion here survive denoising? It needs the scan alone, no reference.

A blurred disc is added to a slice, and the slice is denoised with and without it. The answer is the linear response of this
denoiser to this disc in this slice (``signal_kept.py``); it is no reader study. See docs/lesion_test.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .image_quality import tissue_mask
from .noise_left import noise_left
from .noise_level import noise_sd, window_size
from .signal_kept import Denoise, Lesion, Place, away_from_borders, passes, place_in_image, share_of, signal_kept

DEFAULT_LESION = Lesion(-20.0, 4.0)
MAP_PLACES = 64
_PICTURE_MM = 20.0
"""Least half side of the pictures."""
_BODY_HU = (-950.0, np.inf)
_NO_NOISE_HU = 1e-3

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class LesionAnswer:
    """What became of a lesion.

    Attributes:
        lesion, place: what was put where (slice, row, column).
        signal_kept: share of it that is kept: 1 is all, 0 is none.
        noise_before, noise_after: SD in HU in a square of 10 mm around the place, without the lesion and freed of its linear
            trend; what structure there is counts as noise.
        corner: row and column of the pictures' first pixel.
        input_with_lesion, result_with_lesion: (rows, columns) float32, HU.
        difference: result with minus result without the lesion, HU: what the lesion became.
    """

    lesion: Lesion
    place: Place
    signal_kept: float
    noise_before: float
    noise_after: float
    corner: tuple[int, int]
    input_with_lesion: np.ndarray
    result_with_lesion: np.ndarray
    difference: np.ndarray

    @property
    def cnr_before(self) -> float:
        """The lesion's contrast over the noise there, before denoising; nan without noise."""
        return _ratio(abs(self.lesion.contrast_hu), self.noise_before)

    @property
    def cnr_after(self) -> float:
        """The contrast that is kept, over the noise that is left there; nan without noise."""
        return _ratio(abs(self.lesion.contrast_hu) * self.signal_kept, self.noise_after)

    @property
    def figures(self) -> dict[str, float]:
        """All figures by name, for JSON."""
        names = ("signal_kept", "noise_before", "noise_after", "cnr_before", "cnr_after")
        return {name: float(getattr(self, name)) for name in names}


@dataclass(frozen=True)
class LesionMap:
    """The lesion test over a grid of places of a slice.

    Attributes:
        lesion: what was put everywhere.
        pitch_px: distance of the places: each stands for the square of that side around it.
        places: (row, column) of each.
        signal_kept: (places,) share that is kept.
        noise_left: (places,) share of inserted noise that is left around each; None where no noise was inserted.
        shape: rows and columns of the slice.
    """

    lesion: Lesion
    pitch_px: int
    places: tuple[tuple[int, int], ...]
    signal_kept: np.ndarray
    noise_left: np.ndarray | None
    shape: tuple[int, int]

    def image(self, values: np.ndarray) -> np.ndarray:
        """Values of the places as (rows, columns) float32: each in its square, nan elsewhere."""
        image = np.full(self.shape, np.nan, np.float32)
        for place, value in zip(self.places, values, strict=True):
            image[_square(place, self.pitch_px, self.shape)] = value
        return image

    @property
    def kept_figures(self) -> dict[str, float]:
        """``median`` and ``least`` share of the signal that is kept."""
        return {"median": float(np.median(self.signal_kept)), "least": float(self.signal_kept.min())}

    @property
    def left_figures(self) -> dict[str, float] | None:
        """``median`` and ``most`` of the noise that is left; None where it was not measured."""
        if self.noise_left is None:
            return None
        return {"median": float(np.median(self.noise_left)), "most": float(self.noise_left.max())}


def try_lesion(
    denoise: Denoise,
    scan: np.ndarray,
    place: Place,
    lesion: Lesion,
    spacing: tuple[float, float],
    *,
    halo_px: int | None = None,
) -> LesionAnswer:
    """Put a lesion into a scan, and see what a denoiser makes of it.

    Args:
        denoise: (slices, rows, columns) float32 HU to the same shape.
        scan: (slices, rows, columns), HU, any real type. Not changed.
        place: slice, row and column of the lesion's middle.
        lesion: what is put there.
        spacing: (rows, columns) in mm.
        halo_px: how far the denoiser looks (``Denoiser.halo``): only what the pictures need is computed then, with the same
            result as the whole slice. None computes the whole slice.

    Raises:
        InputError: the place is not in the scan's tissue, or the lesion would cross the image's border.
    """
    _check_place(scan, place)
    place_in_image(place, lesion.shape(spacing), scan.shape)  # before the image of a huge lesion is made
    disc = lesion.image(spacing)
    _, row, column = place
    shown = [
        math.ceil(max(_PICTURE_MM / mm, lesion.radius_mm * 2 / mm, side / 2, n / 2))
        for mm, side, n in zip(spacing, disc.shape, window_size(spacing), strict=True)
    ]
    middle, size = (row, column), scan.shape[1:]
    picture = tuple(_clipped(at, half, n) for at, half, n in zip(middle, shown, size, strict=True))
    # What is measured must see all that the denoiser looks at.
    reach = [max(size)] * 2 if halo_px is None else [half + halo_px for half in shown]
    part = tuple(_clipped(at, half, n) for at, half, n in zip(middle, reach, size, strict=True))
    inner = tuple(slice(p.start - q.start, p.stop - q.start) for p, q in zip(picture, part, strict=True))
    place_in_part = (0, row - part[0].start, column - part[1].start)
    where = place_in_image(place_in_part, disc.shape, (1, *(p.stop - p.start for p in part)))

    before = np.asarray(scan[place[0]][part], np.float32)
    with_lesion = before.copy()
    with_lesion[where] += disc
    result, result_with = (np.asarray(denoise(image[None])[0], np.float32) for image in (before, with_lesion))
    change = result_with - result
    before_sd, after_sd = (_noise_at(image, (place_in_part[1], place_in_part[2]), spacing) for image in (before, result))
    input_picture, result_picture, difference = (
        np.ascontiguousarray(image[inner]) for image in (with_lesion, result_with, change)
    )
    return LesionAnswer(
        lesion,
        place,
        share_of(disc, change[where]),
        before_sd,
        after_sd,
        (picture[0].start, picture[1].start),
        input_picture,
        result_picture,
        difference,
    )


def map_lesions(
    denoise: Denoise,
    slice_: np.ndarray,
    lesion: Lesion,
    spacing: tuple[float, float],
    *,
    noise: np.ndarray | None = None,
    places: int = MAP_PLACES,
    progress: Progress | None = None,
) -> LesionMap:
    """The lesion test at a grid of places of a slice, and the noise left around each of them.

    Lesions that are far enough apart share a pass of the denoiser; signs alternate.

    Args:
        denoise: (slices, rows, columns) float32 HU to the same shape.
        slice_: (rows, columns), HU, any real type. Not changed.
        lesion: what is put everywhere.
        spacing: (rows, columns) in mm.
        noise: (rows, columns) HU that is added to see how much of it is left (``simulation.own_noise``); None leaves it out.
        places: how many to look for.
        progress: called with (passes done, passes in all).

    Raises:
        InputError: there is no tissue that has room for the lesion.
    """
    margin = max(lesion.shape(spacing)) // 2 + 1
    pitch, grid = _grid(tissue_mask(slice_[None], _BODY_HU)[0], margin, places)
    if not grid:
        raise InputError("The slice has no tissue with room for such a lesion; choose another slice, or a smaller lesion.")
    positions = [(0, *place) for place in grid]
    total = 1 + len(passes(positions, lesion, spacing)) + (noise is not None)
    done = 0

    def counted(image: np.ndarray) -> np.ndarray:
        nonlocal done
        result = denoise(image)
        done += 1
        if progress is not None:
            progress(done, total)
        return result

    scan = np.asarray(slice_, np.float32)[None]
    result = np.asarray(counted(scan), np.float64)
    kept = signal_kept(counted, scan, positions, lesion, spacing, output=result)
    left = None
    if noise is not None:
        noisy = scan + np.asarray(noise, np.float32)
        change = counted(noisy)[0] - result[0]
        # What the inserted noise becomes, as if the result without it were the truth.
        left = np.array(
            [
                noise_left(change[square], np.zeros_like(change[square]), (noisy[0] - scan[0])[square])
                for square in (_square(place, pitch, slice_.shape) for place in grid)
            ]
        )
    return LesionMap(lesion, pitch, tuple(grid), kept, left, (slice_.shape[0], slice_.shape[1]))


def _grid(mask: np.ndarray, margin_px: int, places: int) -> tuple[int, list[tuple[int, int]]]:
    """Pitch and places of the regular grid in the mask that comes nearest to so many places."""
    inside = away_from_borders(mask, margin_px)
    grids = []
    around = max(4, round(math.sqrt(max(1, inside.sum()) / places)))
    for pitch in range(max(4, around - 6), around + 7):
        starts = [n % pitch // 2 + pitch // 2 for n in mask.shape]
        found = np.argwhere(inside[starts[0] :: pitch, starts[1] :: pitch])
        grids.append((pitch, [(int(row) * pitch + starts[0], int(column) * pitch + starts[1]) for row, column in found]))
    return min(grids, key=lambda grid: abs(len(grid[1]) - places))


def _check_place(scan: np.ndarray, place: Place) -> None:
    if not all(0 <= at < n for at, n in zip(place, scan.shape, strict=True)):
        raise InputError(
            f"There is no voxel at slice {place[0]}, row {place[1]}, column {place[2]}: the scan has {scan.shape[0]} slices of "
            f"{scan.shape[1]} x {scan.shape[2]}, counted from 0."
        )
    index, row, column = place
    around = scan[index, max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
    if np.mean(around, dtype=np.float64) < _BODY_HU[0]:
        raise InputError(f"There is air at row {row}, column {column} of slice {index}; choose a place inside the body.")


def _noise_at(image: np.ndarray, middle: tuple[int, int], spacing: tuple[float, float]) -> float:
    corner = [
        min(max(0, at - side // 2), n - side) for at, side, n in zip(middle, window_size(spacing), image.shape, strict=True)
    ]
    if min(corner) < 0:
        return float("nan")  # the image is smaller than 10 mm
    return noise_sd(image[None], np.array([[0, *corner]]), spacing)


def _clipped(middle: int, half: int, length: int) -> slice:
    return slice(max(0, middle - half), min(length, middle + half + 1))


def _square(place: tuple[int, int], side: int, shape: Sequence[int]) -> tuple[slice, slice]:
    rows, columns = (slice(max(0, at - side // 2), min(n, at - side // 2 + side)) for at, n in zip(place, shape, strict=True))
    return rows, columns


def _ratio(contrast: float, noise: float) -> float:
    return contrast / noise if noise > _NO_NOISE_HU else float("nan")
