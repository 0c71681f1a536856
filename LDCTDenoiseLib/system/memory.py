"""Is there memory for a volume? Asked before it is taken: systems promise more than they have, and then kill the process."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError

LARGEST_VOXELS = 2**33
"""Far beyond any CT: 2048 x 2048 x 2048."""
_COPIES = 4
"""Copies of a volume that denoising a file holds at once, measured."""


def check_memory(name: str, size: Sequence[int], voxel_bytes: int) -> None:
    """Refuse a volume that the memory cannot hold.

    Args:
        name: of the file, for the sentence.
        size: voxels along every axis, as its header claims.
        voxel_bytes: of one voxel in memory.

    Raises:
        InputError: larger than any CT, or than the free memory.
    """
    voxels = math.prod(size)
    extent = " x ".join(str(n) for n in size)
    if voxels > LARGEST_VOXELS:
        raise InputError(f"{name} claims {extent} voxels, more than any CT has; its header is damaged.")
    needed, free = voxels * voxel_bytes * _COPIES, free_memory()
    if free is not None and needed > free:
        raise InputError(
            f"{name} has {extent} voxels, for which {needed / 2**30:.1f} GiB of memory are needed, and "
            f"{free / 2**30:.1f} GiB are free; close other programs, or cut the volume."
        )


def free_memory() -> int | None:
    """Bytes that can be taken without swapping: on Linux what is available, elsewhere all there is; None if unknown."""
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
