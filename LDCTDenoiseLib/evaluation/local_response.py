"""Noise left and signal kept of one method on one volume, as they stand in tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..measures.noise_left import TISSUES, measure_noise_left
from ..measures.signal_kept import LESIONS, Lesion, places_for, signal_kept
from .dose_pair import DosePair
from .methods import Method

NOISE_LEFT_MEDIAN = "noise left, median of places"
NOISE_LEFT_P90 = "noise left, 90th percentile"


def noise_left_name(tissue: str) -> str:
    """The noise left in a tissue as it stands in tables."""
    return f"noise left, {tissue}"


def signal_kept_name(lesion: Lesion) -> str:
    """The signal kept of a lesion as it stands in tables."""
    return f"signal kept, {lesion.label}"


def local_response(
    method: Method, pair: DosePair, image: np.ndarray, masks: dict[str, np.ndarray], lesions: Sequence[Lesion] = LESIONS
) -> dict[str, float]:
    """Noise left by tissue and place, and signal kept in soft tissue of the middle slice.

    Args:
        method: that made the image.
        pair: it was made from.
        image: (slices, rows, columns), HU.
        masks: of ``tissue_masks(pair.full)``.
        lesions: whose signal to look for.

    Returns:
        By the measure's name; nan where a tissue does not occur.
    """
    left = measure_noise_left(image, pair.full, pair.low, masks, pair.body)
    values = {NOISE_LEFT_MEDIAN: left.median, NOISE_LEFT_P90: left.p90}
    values |= {noise_left_name(tissue): left.by_tissue[tissue] for tissue in TISSUES}
    middle = len(pair.low) // 2
    one = slice(middle, middle + 1)
    for lesion in lesions:
        places = places_for(lesion, masks["soft"][middle], pair.spacing)
        kept = (
            signal_kept(
                lambda hu: method.apply(hu, pair.noise_hu), pair.low[one], places, lesion, pair.spacing, output=image[one]
            ).mean()
            if places
            else np.nan
        )
        values[signal_kept_name(lesion)] = float(kept)
    return values


def unknown_response() -> dict[str, float]:
    """The measures of :func:`local_response` as nan: of an image whose low dose is not known."""
    names = [NOISE_LEFT_MEDIAN, NOISE_LEFT_P90, *map(noise_left_name, TISSUES), *map(signal_kept_name, LESIONS)]
    return dict.fromkeys(names, float("nan"))
