"""Normal-dose volumes prepared for training: voxels, and noise from which every dose and kernel follows.

A kernel is a filter of the image and a dose a factor, so two noise images of a slice, of the photons and of the
electronics, computed once with the bare ramp, serve all of them (``simulation/noise_insertion.py``).
"""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...ct.evenly_spread import evenly_spread
from ...ct.hu import as_voxels
from ...ct.scan import Scan
from ...errors import InputError
from ...measures.noise_level import noise_sd, uniform_windows
from ...simulation.kernel import KERNELS
from ...simulation.noise_insertion import CALIBRATION_SLICES, LEAST_NOISE_HU, NO_NOISE, each_slice, ray_noise
from ...simulation.parallel_beam import ParallelBeam
from ...system.extras import require_extra
from .array_cache import cached_arrays, entry_name
from .stored_array import AnyArray

log = logging.getLogger(__name__)

BLOCK = 6
"""Slices that share a zoom and a girth."""
_FORMAT = 4
_CALIBRATION_SEED = 20_06_14738


@dataclass(frozen=True)
class Variety:
    """How a volume is varied when it is prepared.

    Attributes:
        versions: times that each slice is prepared.
        zoom: [lowest, highest] factor on its matrix in the plane, drawn log-uniformly for each block of slices: pixels of
            other sizes, bodies of other widths.
        girth: [lowest, highest] factor on the line integrals of its noise, drawn uniformly: photon starvation of wider
            bodies, or less of it.
    """

    versions: int = 1
    zoom: tuple[float, float] = (1.0, 1.0)
    girth: tuple[float, float] = (1.0, 1.0)


AS_SCANNED = Variety()


@dataclass(frozen=True)
class PreparedVolume:
    """Neighbouring slices at normal dose and their noise.

    Attributes:
        hu: (slices, rows, columns) int16.
        noise: (2, slices, rows, columns) float16, HU, by the bare ramp: the photons' noise, which the soft kernel would give
            the strength that half the dose adds, and the electronics', of the same strength in uniform soft tissue.
        spacing: (rows, columns) in mm.
        own_noise_hu: SD of the whole volume's own noise in uniform soft tissue.
    """

    hu: AnyArray
    noise: AnyArray
    spacing: tuple[float, float]
    own_noise_hu: float


def prepare(scan: Scan, cache: Path, *, seed: int, variety: Variety = AS_SCANNED) -> list[PreparedVolume]:
    """Prepare a normal-dose volume, or reuse what an earlier call left in the cache.

    Args:
        scan: normal-dose CT.
        cache: folder for the arrays; one sub-folder per volume, named after its content.
        seed: of the noise and the variety.
        variety: how its blocks of slices are varied; as it was scanned, it is one block.

    Raises:
        InputError: the volume has no uniform soft tissue to measure its noise in.
        MissingExtraError: SciPy, which zooms, is not installed.
    """
    hu, spacing = as_int16(scan.hu), scan.spacing
    record = [_FORMAT, hu.shape, spacing, seed, variety.versions, variety.zoom, variety.girth]
    arrays = cached_arrays(cache / entry_name(hu, record), lambda: _make(hu, spacing, seed, variety))
    own = float(arrays["own_noise_hu"][...])
    return [
        PreparedVolume(arrays[f"hu{n}"], arrays[f"noise{n}"], tuple(pixel), own)
        for n, pixel in enumerate(arrays["spacing"][:].tolist())
    ]


def as_int16(hu: np.ndarray) -> np.ndarray:
    """HU as the caches hold them: rounded, saturated, contiguous."""
    return np.ascontiguousarray(as_voxels(hu, np.dtype(np.int16)))


def _make(hu: np.ndarray, spacing: tuple[float, float], seed: int, variety: Variety) -> dict[str, np.ndarray]:
    own, ray_sd = _strengths(hu, spacing)
    log.info("Own noise %.1f HU, %.3g photons per ray.", own, (ray_sd[0] / own) ** 2)
    rng = np.random.default_rng([seed, zlib.crc32(hu.data)])  # another volume has other zooms and girths
    arrays: dict[str, np.ndarray] = {"own_noise_hu": np.array(own)}
    pixels: list[tuple[float, float]] = []
    size = len(hu) if variety == AS_SCANNED else BLOCK
    for version in range(variety.versions):
        for start in range(0, len(hu), size):
            block = hu[start : start + size]
            low, high = np.log(variety.zoom)
            zoom = math.exp(rng.uniform(low, high))
            girth = float(rng.uniform(*variety.girth))
            zoomed = _zoom(block, zoom) if zoom != 1 else block
            pixel = (spacing[0] / zoom, spacing[1] / zoom)
            # Photons are as many as a pixel's detector bin is wide.
            scale = [own / sd * math.sqrt(zoom) for sd in ray_sd]
            arrays[f"hu{len(pixels)}"] = zoomed
            arrays[f"noise{len(pixels)}"] = _noise(zoomed, pixel, seed, version * len(hu) + start, girth, scale)
            pixels.append(pixel)
    return arrays | {"spacing": np.array(pixels)}


def _strengths(hu: np.ndarray, spacing: tuple[float, float]) -> tuple[float, list[float]]:
    """SD in uniform soft tissue of the image's own noise, and of both noises of one photon per ray with the soft kernel."""
    chosen = evenly_spread(len(hu), CALIBRATION_SLICES)
    part = hu[chosen]
    windows = uniform_windows(part, spacing)
    noise = KERNELS["soft"].shape(_rays(part, spacing, _CALIBRATION_SEED, 0, 1.0), spacing)
    own = noise_sd(part, windows, spacing)
    if own < LEAST_NOISE_HU:
        raise InputError(NO_NOISE)
    return own, [noise_sd(one, windows, spacing) for one in noise]


def _noise(
    hu: np.ndarray, spacing: tuple[float, float], seed: int, first: int, girth: float, scale: Sequence[float]
) -> np.ndarray:
    return (_rays(hu, spacing, seed, first, girth) * np.array(scale, np.float32)[:, None, None, None]).astype(np.float16)


def _rays(hu: np.ndarray, spacing: tuple[float, float], seed: int, first: int, girth: float) -> np.ndarray:
    """(2, slices, rows, columns) float32: both noises of one photon per ray."""
    beam = ParallelBeam(hu.shape[1], hu.shape[2], spacing)
    noise = np.empty((2, *hu.shape), np.float32)

    def work(z: int) -> None:
        noise[:, z] = ray_noise(hu[z], beam, seed=seed, index=first + z, electronic=True, girth=girth)

    each_slice(len(hu), work)
    return noise


def _zoom(hu: np.ndarray, zoom: float) -> np.ndarray:
    with require_extra("train"):
        from scipy import ndimage
    images = hu.astype(np.float32)
    if zoom < 1:  # what the coarser pixels cannot hold must not fold back
        images = ndimage.gaussian_filter(images, (0, *[0.5 * math.sqrt(1 / zoom**2 - 1)] * 2))
    return as_int16(ndimage.zoom(images, (1, zoom, zoom), order=3, mode="nearest", grid_mode=True).clip(min=int(hu.min())))
