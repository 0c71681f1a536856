"""Normal-dose volumes prepared for training: voxels and calibrated unit noise.

Inserting noise is linear in its amplitude, so one noise image per slice and kernel, computed once, gives every dose:
low(a) = volume + sqrt((1-a)/a) * noise (``simulation/noise_insertion.py`` with no electronic noise).
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...ct.hu import as_voxels
from ...ct.scan import Scan
from ...simulation.kernel import find_kernel
from ...simulation.noise_insertion import calibrate_photons, each_slice, insert_noise, ray_noise
from ...simulation.parallel_beam import ParallelBeam
from .array_cache import cached_arrays

log = logging.getLogger(__name__)

KERNELS = ("soft", "sharp")
_FORMAT = 2


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

    def low_dose(self, dose_fraction: float, kernel: str, slices: slice = slice(None)) -> np.ndarray:
        """Some slices at a share of the dose: (slices, rows, columns) int16 HU."""
        noise = self.noise[KERNELS.index(kernel), slices].astype(np.float32)
        return insert_noise(self.hu[slices], math.sqrt((1 - dose_fraction) / dose_fraction) * noise)


def prepare(scan: Scan, cache: Path, *, seed: int) -> PreparedVolume:
    """Prepare a normal-dose volume, or reuse what an earlier call left in the cache.

    Args:
        scan: normal-dose CT.
        cache: folder for the arrays; one sub-folder per volume, named after its content.
        seed: of the noise.
    """
    hu, spacing = as_int16(scan.hu), scan.spacing
    digest = hashlib.sha256(hu.tobytes())
    digest.update(json.dumps([_FORMAT, hu.shape, spacing, seed]).encode())
    arrays = cached_arrays(cache / digest.hexdigest()[:16], lambda: {"hu": hu, "noise": _unit_noise(hu, spacing, seed)})
    return PreparedVolume(arrays["hu"], arrays["noise"], spacing)


def as_int16(hu: np.ndarray) -> np.ndarray:
    """HU as the caches hold them: rounded, saturated, contiguous."""
    return np.ascontiguousarray(as_voxels(hu, np.dtype(np.int16)))


def _unit_noise(hu: np.ndarray, spacing: tuple[float, float], seed: int) -> np.ndarray:
    kernels = [find_kernel(name) for name in KERNELS]
    scales = []
    for name, kernel in zip(KERNELS, kernels, strict=True):
        photons = calibrate_photons(hu, spacing, kernel)
        scales.append(1 / math.sqrt(photons))
        log.info("Kernel %s: %.3g photons per ray.", name, photons)
    noise = np.empty((len(kernels), *hu.shape), np.float16)
    beam = ParallelBeam(hu.shape[1], hu.shape[2], spacing)

    def work(index: int) -> None:
        rays = ray_noise(hu[index], beam, seed=seed, index=index)[0]
        for one, kernel, scale in zip(noise, kernels, scales, strict=True):
            one[index] = scale * kernel.shape(rays, spacing)

    each_slice(len(hu), work)
    return noise
