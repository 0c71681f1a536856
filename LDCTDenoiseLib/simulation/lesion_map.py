"""The lesion test at many places of a slice, with the noise left of a little more noise of the scan's own kind."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..measures.lesion_test import LesionMap, Progress, map_lesions
from ..measures.signal_kept import Denoise, Lesion
from .own_noise import own_noise


def map_slice(
    denoise: Denoise,
    scan: np.ndarray,
    index: int,
    lesion: Lesion,
    spacing: tuple[float, float],
    *,
    seed: int,
    progress: Progress | None = None,
) -> LesionMap:
    """Signal kept and noise left at about 64 places of one slice of a scan.

    Args:
        denoise: (slices, rows, columns) float32 HU to the same shape.
        scan: (slices, rows, columns), HU. Not changed. The slice's neighbours say, too, what the scan's own noise is.
        index: of the slice.
        lesion: what is put everywhere.
        spacing: (rows, columns) in mm.
        seed: of the inserted noise; the slice's number, to get what the panel and the command line show.
        progress: called with (passes done, passes in all).

    Returns:
        The map; its ``noise_left`` is None where no uniform soft tissue shows the scan's own noise.

    Raises:
        InputError: there is no tissue that has room for the lesion.
    """
    noise: np.ndarray | None
    try:
        noise = own_noise(scan, index, spacing, seed=seed)
    except InputError:
        noise = None
    return map_lesions(denoise, scan[index], lesion, spacing, noise=noise, progress=progress)
