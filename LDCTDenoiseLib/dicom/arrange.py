"""The slices of a series in order: what does not belong is left out, acquisitions are told apart, gaps and tilt are found."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ..errors import InputError, counted
from .read_file import damage_in
from .slices import Slice

log = logging.getLogger(__name__)

POSITION_TOLERANCE_MM = 0.02
SPACING_TOLERANCE = 0.1
"""Share of the slice distance by which a step, or a slice from its place on an even grid, may differ.

Positions are often rounded; a missing slice is a whole step.
"""
_ORIENTATION_TOLERANCE = 1e-3
_Number = TypeVar("_Number", int, float)
_TELLS_APART = ("AcquisitionNumber", "TemporalPositionIdentifier", "ConvolutionKernel", "ImageType")
"""What differs between slices at one place, most telling first."""


@dataclass(frozen=True)
class Acquisition:
    """Slices of one acquisition, from the lowest to the highest position along their normal.

    Attributes:
        slices: all of one orientation, matrix and pixel spacing.
        step: usual distance of neighbours, mm; the slice thickness for a single slice.
        gap: the sentence about the first gap or odd step, or about steps whose differences add up, or "".
        tilt_degrees: by how much the stack is sheared (gantry tilt); 0 for a straight one.
    """

    slices: list[Slice]
    step: float
    gap: str
    tilt_degrees: float


def arrange(slices: list[Slice]) -> list[Acquisition]:
    """Sort the slices of one series; more than one acquisition where several images lie at one place.

    Raises:
        InputError: nothing tells images at one place apart, no orientation and matrix is the usual one, or a single slice
            has no number as its SliceThickness.
    """
    slices = _of_one_kind(slices)
    slices = _sorted(slices)
    if _repeated_place(slices) is None:
        return [_describe(slices)]
    at_once = _most_at_one_place(slices)
    for keyword in _TELLS_APART:
        groups: dict[str, list[Slice]] = {}
        for one in slices:
            groups.setdefault(str(one.header.get(keyword)), []).append(one)
        # A number that differs from image to image tells no acquisitions apart.
        plausible = 1 < len(groups) <= at_once or (len(groups) > 1 and min(map(len, groups.values())) > 1)
        if plausible and all(_repeated_place(group) is None for group in groups.values()):
            log.warning("%s holds %d acquisitions, told apart by their %s.", name_of(slices), len(groups), keyword)
            return [_describe(group) for group in groups.values()]
    number = (_repeated_place(slices) or 0) + 1
    raise InputError(
        f"Slices {number} and {number + 1} of {name_of(slices)} lie at the same place, and nothing tells two acquisitions "
        "apart; give one acquisition alone."
    )


def name_of(slices: list[Slice]) -> str:
    """How a series is called in a sentence."""
    return f"series {slices[0].header.get('SeriesNumber') or ''}".strip()


def _of_one_kind(slices: list[Slice]) -> list[Slice]:
    """The slices of the most frequent orientation, matrix and pixel spacing."""
    kinds: list[list[Slice]] = []
    for one in slices:
        kind = next((kind for kind in kinds if _alike(one, kind[0])), None)
        if kind is None:
            kinds.append([one])
        else:
            kind.append(one)
    kinds.sort(key=len, reverse=True)
    if len(kinds) > 1 and len(kinds[0]) == len(kinds[1]):
        raise InputError(
            f"The slices of {name_of(slices)} differ in orientation, matrix or pixel spacing, and no kind is the usual one; "
            "give one acquisition alone."
        )
    if len(kinds) > 1:
        odd = len(slices) - len(kinds[0])
        log.warning(
            "Left out: %s of %s with another orientation, matrix or pixel spacing.", counted(odd, "slice"), name_of(slices)
        )
    return kinds[0]


def _alike(one: Slice, other: Slice) -> bool:
    return (
        one.shape == other.shape
        and np.allclose(one.spacing, other.spacing, rtol=1e-4)
        and np.allclose([*one.across, *one.down], [*other.across, *other.down], atol=_ORIENTATION_TOLERANCE)
    )


def _heights(slices: list[Slice]) -> np.ndarray:
    """(slices,) positions along the normal of the first, mm."""
    return np.array([one.position for one in slices]) @ slices[0].normal


def _sorted(slices: list[Slice]) -> list[Slice]:
    return [slices[index] for index in np.argsort(_heights(slices), kind="stable")]


def _repeated_place(slices: list[Slice]) -> int | None:
    """Index of the first of sorted slices that lies where the next one does."""
    steps = np.diff(_heights(slices))
    at_once = np.flatnonzero(steps < POSITION_TOLERANCE_MM)
    return int(at_once[0]) if len(at_once) else None


def _most_at_one_place(slices: list[Slice]) -> int:
    """How many of sorted slices lie at one place, at most."""
    most = run = 1
    for step in np.diff(_heights(slices)):
        run = run + 1 if step < POSITION_TOLERANCE_MM else 1
        most = max(most, run)
    return most


def what_is_missing(slices: list[Slice], images: int) -> str:
    """The sentence about slices that lack at an end, by what the headers count; "" when none does.

    Args:
        slices: of a series, in any order.
        images: how many images of the series there are.

    Raises:
        InputError: what a header counts is no number.
    """
    numbers = [_number(one, "InstanceNumber", 0) for one in slices]
    told = max(_number(one, "NumberOfSeriesRelatedInstances", 0) for one in slices)
    if told > images:
        return f"{name_of(slices)} has {images} of its {told} images; missing: {told - images}"
    first, last = min(numbers), max(numbers)
    if first > 1 and len(set(numbers)) == len(numbers):
        return f"{name_of(slices)} has InstanceNumber {first} to {last}: {first - 1} before them may be missing"
    return ""


def _number(one: Slice, keyword: str, without: _Number) -> _Number:
    """What a header says, as a number of the type of ``without``, which is given where it says nothing."""
    with damage_in(one.path):
        return type(without)(one.header.get(keyword) or without)


def _describe(slices: list[Slice]) -> Acquisition:
    first = slices[0]
    if len(slices) == 1:
        return Acquisition(slices, _number(first, "SliceThickness", 1.0), "", 0.0)
    heights = _heights(slices)
    steps = np.diff(heights)
    expected = float(np.percentile(steps, 50, method="lower"))  # a step that occurs: the median of 5 and 10 does not
    wrong = np.abs(steps - expected) > SPACING_TOLERANCE * expected
    # The mean and not the median: rounded positions add up to nothing over the stack.
    mean = float((heights[-1] - heights[0]) / len(steps))
    off = np.abs(heights - heights[0] - mean * np.arange(len(slices)))
    gap = ""
    if wrong.any():
        number = int(np.argmax(wrong)) + 1
        step = steps[number - 1]
        what = "a slice is missing" if step > expected else "the spacing is uneven"
        gap = f"Slice positions of {name_of(slices)} jump by {step:g} mm after slice {number} (expected {expected:g} mm): {what}"
    elif off.max() > SPACING_TOLERANCE * expected + POSITION_TOLERANCE_MM:
        number = int(np.argmax(off)) + 1
        gap = (
            f"Slice {number} of {name_of(slices)} lies {off.max():.3g} mm off an even grid of {mean:g} mm: the spacing is uneven"
        )
    offsets = np.array([one.position - first.position for one in slices])
    shifts = offsets - np.outer(offsets @ first.normal, first.normal)
    tilt = 0.0
    if np.abs(shifts).max() > max(POSITION_TOLERANCE_MM, 0.1 * min(first.spacing)):
        tilt = float(np.degrees(np.arctan2(np.linalg.norm(shifts[-1]), heights[-1] - heights[0])))
    return Acquisition(slices, expected if gap else mean, gap, tilt)
