"""Check that voxels look like Hounsfield units before they are denoised as such."""

from __future__ import annotations

import logging

import numpy as np

from ..errors import InputError, NotHUError, counted
from .hu import AIR_FLOOR_HU, is_padding

log = logging.getLogger(__name__)

NO_FAT_OR_AIR_HU = -50
NO_AIR_HU = -200
TOO_BRIGHT_HU = 4000
TOO_BRIGHT_SHARE = 0.01


def check_hu(volume: np.ndarray, padding: float | np.ndarray | None = None) -> None:
    """Refuse a volume that cannot be CT in HU; warn of one that holds no air.

    Args:
        volume: (slices, ...).
        padding: HU of padding voxels, or their boolean mask. They do not count, nor does anything below -1024.

    Raises:
        NotHUError: no voxel below -50, more than 1 % above 4,000, or nothing but padding.
    """
    lowest, bright, voxels = np.inf, 0, 0
    for index, one in enumerate(volume):  # a mask of all costs memory
        seen = one[~is_padding(one, padding[index] if isinstance(padding, np.ndarray) else padding)]
        if seen.size:
            lowest = np.minimum(lowest, seen.min())  # NaN stays: the engine refuses it by name
        bright += int(np.count_nonzero(seen > TOO_BRIGHT_HU))
        voxels += seen.size
    if not voxels:
        raise NotHUError(f"The voxels do not look like HU: all of them are padding, or below {AIR_FLOOR_HU:g}.")
    if lowest >= NO_FAT_OR_AIR_HU:
        raise NotHUError(
            f"The voxels do not look like HU: the lowest is {lowest:g}, and a CT has fat or air below {NO_FAT_OR_AIR_HU}."
        )
    if bright > TOO_BRIGHT_SHARE * voxels:
        raise NotHUError(f"The voxels do not look like HU: {bright / voxels:.0%} lie above {TOO_BRIGHT_HU}.")
    if lowest >= NO_AIR_HU:
        log.warning("No voxel lies below %d HU: make sure that this is CT in HU.", NO_AIR_HU)


def check_ct(volume: np.ndarray, padding: float | np.ndarray | None = None) -> None:
    """Refuse a volume that nothing can be learnt from, or be judged on: :func:`check_finite`, then :func:`check_hu`."""
    check_finite(volume)
    check_hu(volume, padding)


def check_finite(volume: np.ndarray) -> None:
    """Refuse a volume with voxels that are no finite float32.

    Raises:
        InputError: there are some; it says how many.
    """
    if not np.issubdtype(volume.dtype, np.floating):
        return
    largest = np.finfo(np.float32).max
    # Slice by slice: a mask of all costs memory. NaN is not less than anything.
    bad = sum(int(np.count_nonzero(~(np.abs(one) <= largest))) for one in volume)
    if bad:
        raise InputError(f"There is NaN or infinity in {counted(bad, 'voxel')}; put padding (-1024 HU) there first.")
