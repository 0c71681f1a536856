"""Check that there is memory for a volume. The OS kills a process that runs out of RAM; no exception is raised."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError

LARGEST_VOXELS = 2**33
"""Far beyond any CT: 2048 x 2048 x 2048."""
COPIES = 5
"""Copies of a volume that denoising a file holds at once: up to 4.6, of noise to a MetaImage file; 3 to others, 2.1 to DICOM."""


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
    needed, free = voxels * voxel_bytes * COPIES, free_memory()
    if free is not None and needed > free:
        raise InputError(
            f"{name} has {extent} voxels, for which {needed / 2**30:.1f} GiB of memory are needed, and "
            f"{free / 2**30:.1f} GiB are free; close other programs, or cut the volume."
        )


def free_memory() -> int | None:
    """Bytes that can be taken: on Linux what is available without swapping, elsewhere all there is; None if unknown."""
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
                return min([available, *left_in_control_groups()])
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def left_in_control_groups(mounted: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Bytes that the limits of containers, services and batch systems leave to this process; empty without a limit.

    Args:
        mounted: where the system shows the control groups, of version 2, version 1, or both.
        groups: the file that says which ones this process belongs to.

    Reference: https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html
    """
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    left = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            roots, names = [mounted, mounted / "unified"], ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            roots = [mounted / "memory"]
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        for root in roots:
            # A container may see its own group as the root, whatever the path says.
            inner = root / path.strip("/")
            for group in (inner, *inner.parents):
                if group.is_relative_to(root):
                    left += _left_in(group, *names)
    return left


def _left_in(group: Path, limit: str, usage: str, cache: str) -> list[int]:
    try:
        limited, used = int((group / limit).read_text()), int((group / usage).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or no limit: "max"
        return []
    # What was read from files and not lately used is given back before the limit hurts.
    return [max(0, limited - used + int(statistics.get(cache, 0)))]
