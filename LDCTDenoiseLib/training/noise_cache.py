"""Normal-dose volumes prepared for training: voxels and calibrated unit noise as memory-mapped arrays.

Inserting noise is linear in its amplitude, so one noise image per slice and kernel, computed once, gives every dose:
low(a) = volume + sqrt((1-a)/a) * noise (``simulation/noise_insertion.py`` with no electronic noise).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..devices import choose_device
from ..simulation.noise_insertion import calibrate_photons, ray_noise
from ..simulation.parallel_beam import Kernel
from ..volumes import Volume

log = logging.getLogger(__name__)

KERNELS = (Kernel.SOFT, Kernel.SHARP)
_FORMAT = 1


@dataclass(frozen=True)
class PreparedVolume:
    """A normal-dose volume and the noise that half its dose would add.

    Attributes:
        hu: (slices, rows, columns) int16.
        noise: (kernels, slices, rows, columns) float16, HU, kernels in the order of ``KERNELS``.
        spacing: (rows, columns) in mm.
    """

    hu: np.ndarray
    noise: np.ndarray
    spacing: tuple[float, float]


def prepare(volume: Volume, cache: Path, *, seed: int, device: str = "auto") -> PreparedVolume:
    """Prepare a normal-dose volume, or reuse what an earlier call left in the cache.

    Args:
        volume: normal-dose CT.
        cache: folder for the arrays; one sub-folder per volume, named after its content.
        seed: of the noise.
        device: where to compute.
    """
    hu = np.ascontiguousarray(np.clip(volume.hu, -32768, 32767)).astype(np.int16)
    digest = hashlib.sha256(hu.tobytes())
    digest.update(json.dumps([_FORMAT, hu.shape, volume.spacing, seed]).encode())
    folder = cache / digest.hexdigest()[:16]
    if not folder.is_dir():
        _fill(folder, hu, volume.spacing, seed, device)
    return PreparedVolume(np.load(folder / "hu.npy", mmap_mode="r"), np.load(folder / "noise.npy", mmap_mode="r"), volume.spacing)


def _fill(folder: Path, hu: np.ndarray, spacing: tuple[float, float], seed: int, device: str) -> None:
    where = choose_device(device)
    noise = ray_noise(hu, spacing, KERNELS, seed=seed, device=where)
    for index, kernel in enumerate(KERNELS):
        photons = calibrate_photons(hu, spacing, kernel, device=where)
        noise[index] /= math.sqrt(photons)
        log.info("Kernel %s: %.3g photons per ray.", kernel.value, photons)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".preparing-", dir=folder.parent))
    try:
        np.save(temporary / "hu.npy", hu)
        np.save(temporary / "noise.npy", noise.astype(np.float16))
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
