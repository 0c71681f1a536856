"""Low-dose CT from normal-dose CT by inserting the extra noise that a lower dose would have.

Only the *extra* noise is projected and reconstructed, then added: the original's kernel, edges and texture stay.
With dose fraction a, N0 photons per ray at full dose, electronic noise variance Ne (photons^2) and line integral p, the
extra noise of a ray has the standard deviation (Yu et al., J Comput Assist Tomogr 2012;36:477; Zeng et al., IEEE Trans
Nucl Sci 2015;62:2226)

    sqrt((1-a)/a * exp(p)/N0 * (1 + (1+a)/a * Ne * exp(p)/N0)).

Its two terms are independent noise, of the photons and of the electronics. A kernel is a filter of the image, so one image of
each (:func:`ray_noise`) gives a slice at every dose (:func:`extra_noise`) with every kernel (:meth:`ReconstructionKernel.shape`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..ct.evenly_spread import evenly_spread
from ..ct.hu import AIR_FLOOR_HU, as_voxels
from ..ct.hu_check import check_finite
from ..errors import InputError
from ..measures.noise_level import noise_sd, uniform_windows
from ..system.argument_types import check_number, check_pair, check_type
from .kernel import ReconstructionKernel, find_kernel
from .parallel_beam import ParallelBeam

if TYPE_CHECKING:
    import torch

    Array = TypeVar("Array", np.ndarray, torch.Tensor)

MU_WATER_PER_MM = 0.0192
"""Linear attenuation of water at 70 keV."""
LARGEST_LINE_INTEGRAL = 20.0
"""A metre of water, which nothing gets through; exp(p) of what is called denser is left out of the numbers."""
CALIBRATION_SLICES = 8
LEAST_NOISE_HU = 0.5
"""Less is rounding, not quantum noise."""
NO_NOISE = (
    "The image has no measurable noise of its own to calibrate with; "
    "take a scan that is neither synthetic nor denoised, or in Python give photons=... instead."
)
_THREADS = min(4, os.cpu_count() or 1)


def ray_noise(
    image: np.ndarray,
    beam: ParallelBeam,
    *,
    seed: int,
    index: int,
    electronic: bool = False,
    girth: float = 1.0,
) -> np.ndarray:
    """Noise in HU of a slice scanned with one photon per ray, reconstructed with the bare ramp.

    A slice's noise depends on the seed and on its index alone.

    Args:
        image: (rows, columns), HU.
        beam: geometry of the scan.
        seed: of the noise.
        index: of the slice in its volume.
        electronic: with the noise of the electronics as a second image.
        girth: factor on the line integrals: above 1 for a wider body, below for a thinner one.

    Returns:
        (1 or 2, rows, columns), float32: the photons' noise (SD exp(p/2) of a ray), to be scaled by 1/sqrt(N0), and the
        electronics' (SD exp(p)), to be scaled by sqrt(Ne)/N0.
    """
    attenuation = MU_WATER_PER_MM * np.maximum(1 + image.astype(np.float32) / 1000, 0)
    line_integrals = np.clip(beam.project(attenuation) * np.float32(girth), 0, LARGEST_LINE_INTEGRAL)
    result = np.empty((2 if electronic else 1, *image.shape), np.float32)
    for part, sd in zip(range(len(result)), (0.5, 1.0), strict=False):
        noise = np.random.default_rng([seed, index, part]).standard_normal(line_integrals.shape, np.float32)
        result[part] = beam.reconstruct(noise * np.exp(np.float32(sd) * line_integrals)) * (1000 / MU_WATER_PER_MM)
    return result


def extra_noise(rays: np.ndarray, dose_fraction: float, *, photons: float, electronic_noise: float = 0.0) -> np.ndarray:
    """What a lower dose adds to the noise of a slice, in HU.

    Args:
        rays: from :func:`ray_noise`; with the electronics' noise where ``electronic_noise`` is not 0.
        dose_fraction: share a of the full dose.
        photons: N0, per ray at full dose.
        electronic_noise: Ne, variance in photons^2.

    Returns:
        (rows, columns), float32.
    """
    share = (1 - dose_fraction) / dose_fraction
    noise = np.float32(math.sqrt(share / photons)) * rays[0]
    if electronic_noise > 0:
        excess = share * (1 + dose_fraction) / dose_fraction * electronic_noise
        noise += np.float32(math.sqrt(excess) / photons) * rays[1]
    return noise


def each_slice(count: int, work: Callable[[int], object], progress: Callable[[int, int], None] | None = None) -> None:
    """Call ``work`` with every index below ``count``, on a few threads; ``progress`` hears how many of them are done."""
    with ThreadPoolExecutor(_THREADS) as pool:
        try:
            for done, future in enumerate(as_completed([pool.submit(work, index) for index in range(count)]), start=1):
                future.result()
                if progress:
                    progress(done, count)
        except BaseException:  # an interruption too: the rest is not worth waiting for
            pool.shutdown(cancel_futures=True)
            raise


def calibrate_photons(
    volume: np.ndarray,
    spacing: tuple[float, float],
    kernel: ReconstructionKernel,
    *,
    electronic_noise: float = 0.0,
) -> float:
    """Photons per ray N0 with which a scan of this volume would have the noise that the image has.

    Compares the image's noise in uniform soft tissue with the reconstructed noise of one photon per ray at the same places.

    Raises:
        InputError: the image has no uniform soft tissue, or no noise.
    """
    chosen = evenly_spread(len(volume), CALIBRATION_SLICES)
    part = volume[chosen]
    windows = uniform_windows(part, spacing)
    own_variance = noise_sd(part, windows, spacing) ** 2
    if own_variance < LEAST_NOISE_HU**2:
        raise InputError(NO_NOISE)

    beam = ParallelBeam(part.shape[1], part.shape[2], spacing)
    noise = np.empty((2 if electronic_noise > 0 else 1, *part.shape), np.float32)

    def work(index: int) -> None:
        # A seed of its own: the inserted noise must not be the noise that it was calibrated with.
        rays = ray_noise(part[index], beam, seed=20_06_14738, index=index, electronic=electronic_noise > 0)
        noise[:, index] = kernel.shape(rays, spacing)

    each_slice(len(part), work)
    variances = [noise_sd(one, windows, spacing) ** 2 for one in noise]
    if electronic_noise == 0:
        return variances[0] / own_variance
    # own = quantum/N0 + electronic*Ne/N0^2, solved for N0.
    quantum, constant = variances[0], variances[1] * electronic_noise
    return (quantum + math.sqrt(quantum**2 + 4 * own_variance * constant)) / (2 * own_variance)


def simulate_low_dose(
    volume: np.ndarray,
    spacing: tuple[float, float],
    dose_fraction: float,
    *,
    photons: float | None = None,
    electronic_noise: float = 0.0,
    kernel: str | ReconstructionKernel = "soft",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The volume as a scan with a fraction of the dose would have shown it.

    Voxels at or below -1024 HU (padding, or air that the scanner clipped) stay as they are, and no other voxel falls
    below -1024, as on a scanner.

    Examples:
        >>> import numpy as np
        >>> from LDCTDenoiseLib import simulate_low_dose
        >>> water = np.zeros((1, 128, 128), np.int16)
        >>> low = simulate_low_dose(water, (0.7, 0.7), 0.25, photons=1e5)
        >>> lower = simulate_low_dose(water, (0.7, 0.7), 0.1, photons=1e5)
        >>> bool(0 < low.std() < lower.std())
        True

    Args:
        volume: (slices, rows, columns), HU, any real type.
        spacing: (rows, columns) in mm.
        dose_fraction: share of the original's dose, above 0 and at most 1.
        photons: photons per ray of the original scan (N0); None calibrates it from the image's own noise.
        electronic_noise: variance of the electronic noise, photons^2 (Ne); it makes the streaks of a starved detector.
        kernel: the spectrum of the inserted noise: "soft" (as B30f), "sharp" (as D45f), or a curve of your own.
        seed: 0 or more; the same seed gives the same noise.
        progress: called with the number of slices done and their total.

    Returns:
        Same shape and type as ``volume``; integer types are rounded and saturated.

    Raises:
        InputError: an argument is out of range, or the noise cannot be calibrated.
        MissingExtraError: the package finufft is not installed.
    """
    check_type(volume, np.ndarray, "volume", "a numpy array (slices, rows, columns) in HU")
    check_pair(spacing, Real, "spacing", "a pair (rows, columns) in mm")
    check_number(dose_fraction, "dose fraction")
    check_type(seed, Integral, "seed", "a whole number")
    if not 0 < dose_fraction <= 1:
        raise InputError(f"The dose fraction is {dose_fraction:g}; it must be above 0 and at most 1.")
    if volume.ndim != 3 or volume.size == 0:
        raise InputError(f"The volume has shape {volume.shape}; a non-empty (slices, rows, columns) is needed.")
    check_finite(volume)
    if photons is not None and not photons > 0:  # not: NaN is refused as well
        raise InputError(f"photons is {photons:g}; it must be above 0.")
    if not electronic_noise >= 0:
        raise InputError(f"electronic_noise is {electronic_noise:g}; a variance cannot be negative.")
    if seed < 0:
        raise InputError(f"The seed is {seed}; it must be 0 or more.")
    curve = find_kernel(kernel) if isinstance(kernel, str) else kernel
    if dose_fraction == 1:
        return volume.copy()
    n0 = calibrate_photons(volume, spacing, curve, electronic_noise=electronic_noise) if photons is None else photons
    beam = ParallelBeam(volume.shape[1], volume.shape[2], spacing)
    result = np.empty_like(volume)

    def work(index: int) -> None:
        rays = ray_noise(volume[index], beam, seed=seed, index=index, electronic=electronic_noise > 0)
        noise = curve.shape(extra_noise(rays, dose_fraction, photons=n0, electronic_noise=electronic_noise), spacing)
        result[index] = insert_noise(volume[index], noise)

    each_slice(len(volume), work, progress)
    return result


def insert_noise(volume: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Volume plus noise (both HU) in the volume's type, with the scanner's floor of -1024 HU."""
    return as_voxels(with_scanner_floor(volume, noise), volume.dtype)


def with_scanner_floor(volume: Array, noise: Array) -> Array:
    """Volume plus noise (both HU): nothing falls below -1024 HU, and what lies there already stays as it is."""
    floored = volume <= AIR_FLOOR_HU
    return (volume + noise).clip(AIR_FLOOR_HU, None) * ~floored + volume * floored
