"""Low-dose CT from normal-dose CT by inserting the extra noise that a lower dose would have.

Only the *extra* noise is projected and reconstructed, then added: the original's kernel, edges and texture stay.
With dose fraction a, N0 photons per ray at full dose, electronic noise variance Ne (photons^2) and line integral p, the
extra noise of a ray has the standard deviation (Yu et al., J Comput Assist Tomogr 2012;36:477; Zeng et al., IEEE Trans
Nucl Sci 2015;62:2226)

    sqrt((1-a)/a * exp(p)/N0 * (1 + (1+a)/a * Ne * exp(p)/N0)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch

from ..ct.hu import AIR_FLOOR_HU, as_voxels
from ..ct.hu_check import check_finite
from ..errors import InputError
from ..measures.noise_level import noise_sd, uniform_windows
from ..system.devices import choose_device
from .parallel_beam import Kernel, ParallelBeam

Array = TypeVar("Array", np.ndarray, torch.Tensor)

MU_WATER_PER_MM = 0.0192
"""Linear attenuation of water at 70 keV."""
SLICES_AT_ONCE = 4
CALIBRATION_SLICES = 8


def ray_noise(
    volume: np.ndarray,
    spacing: tuple[float, float],
    kernels: Sequence[Kernel],
    *,
    seed: int,
    electronic: bool = False,
    first_slice: int = 0,
    device: torch.device | None = None,
) -> np.ndarray:
    """Reconstructed noise in HU of a scan with one photon per ray: scale it by 1/sqrt(photons).

    All kernels see the same rays' noise. A slice's noise depends on the seed and on its index alone, not on the device
    or on how many slices are done together.

    Args:
        volume: (slices, rows, columns), HU.
        spacing: (rows, columns) in mm.
        kernels: reconstruction kernels.
        seed: of the noise.
        electronic: noise of the electronics instead (SD exp(p) and not exp(p/2)): scale it by sqrt(Ne)/photons.
        first_slice: index of the first slice, when the volume is a part of a larger one.
        device: where to compute.

    Returns:
        (kernels, slices, rows, columns), float32.
    """
    device = device or torch.device("cpu")
    slices, rows, columns = volume.shape
    beam = ParallelBeam(rows, columns, spacing)
    result = np.empty((len(kernels), slices, rows, columns), np.float32)
    for start in range(0, slices, SLICES_AT_ONCE):
        part = torch.as_tensor(volume[start : start + SLICES_AT_ONCE].astype(np.float32)).to(device)
        attenuation = (MU_WATER_PER_MM * (1 + part / 1000)).clamp(min=0)
        line_integrals = beam.project(attenuation)
        noise = torch.empty(line_integrals.shape)
        for index in range(len(part)):
            generator = torch.Generator().manual_seed(_slice_seed(seed, first_slice + start + index, electronic))
            noise[index].normal_(generator=generator)
        noise = noise.to(device) * torch.exp(line_integrals if electronic else line_integrals / 2)
        filtered = torch.cat([beam.filter(noise, kernel) for kernel in kernels])
        hu = beam.back_project(filtered) * (1000 / MU_WATER_PER_MM)
        result[:, start : start + len(part)] = hu.reshape(len(kernels), len(part), rows, columns).cpu().numpy()
    return result


def _slice_seed(seed: int, index: int, electronic: bool) -> int:
    return int(np.random.SeedSequence([seed, index, int(electronic)]).generate_state(1, np.uint64)[0] >> 1)


def calibrate_photons(
    volume: np.ndarray,
    spacing: tuple[float, float],
    kernel: Kernel,
    *,
    electronic_noise: float = 0.0,
    device: torch.device | None = None,
) -> float:
    """Photons per ray N0 with which a scan of this volume would have the noise that the image has.

    Compares the image's noise in uniform soft tissue with the reconstructed noise of one photon per ray at the same places.

    Raises:
        InputError: the image has no uniform soft tissue, or no noise.
    """
    chosen = np.unique(np.linspace(0, len(volume) - 1, CALIBRATION_SLICES).round().astype(int))
    part = volume[chosen]
    windows = uniform_windows(part, spacing)
    own_variance = noise_sd(part, windows, spacing) ** 2
    if own_variance < 0.25:  # half an HU: rounding, not quantum noise
        raise InputError("The image has no measurable noise of its own to calibrate with; give photons=... instead.")

    def variance(electronic: bool) -> float:
        # A seed of its own: the inserted noise must not be the noise that it was calibrated with.
        noise = ray_noise(part, spacing, [kernel], seed=20_06_14738, electronic=electronic, device=device)[0]
        return noise_sd(noise, windows, spacing) ** 2

    quantum = variance(electronic=False)
    if electronic_noise == 0:
        return quantum / own_variance
    # own = quantum/N0 + electronic*Ne/N0^2, solved for N0.
    constant = variance(electronic=True) * electronic_noise
    return (quantum + math.sqrt(quantum**2 + 4 * own_variance * constant)) / (2 * own_variance)


def simulate_low_dose(
    volume: np.ndarray,
    spacing: tuple[float, float],
    dose_fraction: float,
    *,
    photons: float | None = None,
    electronic_noise: float = 0.0,
    kernel: str = "soft",
    seed: int = 0,
    device: str = "auto",
) -> np.ndarray:
    """The volume as a scan with a fraction of the dose would have shown it.

    Voxels at or below -1024 HU (padding, or air that the scanner clipped) stay as they are, and no other voxel falls
    below -1024, as on a scanner.

    Args:
        volume: (slices, rows, columns), HU, any real type.
        spacing: (rows, columns) in mm.
        dose_fraction: share of the original's dose, above 0 and at most 1.
        photons: photons per ray of the original scan (N0); None calibrates it from the image's own noise.
        electronic_noise: variance of the electronic noise, photons^2 (Ne).
        kernel: "soft" (Hann) or "sharp" (Ram-Lak): the spectrum of the inserted noise.
        seed: 0 or more; the same seed gives the same noise.
        device: "auto", "cuda", "cuda:N", "mps" or "cpu".

    Returns:
        Same shape and type as ``volume``; integer types are rounded and saturated.

    Raises:
        InputError: an argument is out of range, or the noise cannot be calibrated.
    """
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
    try:
        chosen_kernel = Kernel(kernel)
    except ValueError:
        raise InputError(f"There is no kernel '{kernel}'; choose soft or sharp.") from None
    if dose_fraction == 1:
        return volume.copy()
    where = choose_device(device)
    if photons is None:
        photons = calibrate_photons(volume, spacing, chosen_kernel, electronic_noise=electronic_noise, device=where)

    result = np.empty_like(volume)
    for start in range(0, len(volume), SLICES_AT_ONCE):
        part = volume[start : start + SLICES_AT_ONCE]

        def rays(electronic: bool, part: np.ndarray = part, start: int = start) -> np.ndarray:
            return ray_noise(part, spacing, [chosen_kernel], seed=seed, electronic=electronic, first_slice=start, device=where)[0]

        noise = math.sqrt((1 - dose_fraction) / dose_fraction / photons) * rays(electronic=False)
        if electronic_noise > 0:
            excess = (1 - dose_fraction) * (1 + dose_fraction) / dose_fraction**2 * electronic_noise
            noise += math.sqrt(excess) / photons * rays(electronic=True)
        result[start : start + len(part)] = insert_noise(part, noise)
    return result


def insert_noise(volume: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Volume plus noise (both HU) in the volume's type, with the scanner's floor of -1024 HU."""
    return as_voxels(with_scanner_floor(volume, noise), volume.dtype)


def with_scanner_floor(volume: Array, noise: Array) -> Array:
    """Volume plus noise (both HU): nothing falls below -1024 HU, and what lies there already stays as it is."""
    floored = volume <= AIR_FLOOR_HU
    return (volume + noise).clip(AIR_FLOOR_HU, None) * ~floored + volume * floored
