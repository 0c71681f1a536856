"""A little more noise of a scan's own kind: of the strength and texture that its soft tissue shows."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..measures.noise_level import noise_sd, uniform_windows
from ..measures.nps import MM_PER_CM, tissue_noise_power, tissue_windows
from .noise_insertion import LEAST_NOISE_HU

SLICES_AROUND = 4
"""Neighbours on each side that the noise is measured in too: one slice may hold little uniform tissue."""
SHARE_OF_NOISE = 0.5
"""SD of the inserted noise as a share of the scan's own: small enough to leave the scan what it is."""


def own_noise(
    scan: np.ndarray, index: int, spacing: tuple[float, float], *, share: float = SHARE_OF_NOISE, seed: int = 0
) -> np.ndarray:
    """Noise to add to one slice.

    White noise is filtered to the radial NPS of the uniform soft tissue of this slice and its neighbours. It is as strong
    everywhere in the slice, which a scan's own noise is not.

    Args:
        scan: (slices, rows, columns), HU.
        index: of the slice.
        spacing: (rows, columns) in mm.
        share: SD of the noise as a share of the scan's own in uniform soft tissue.
        seed: of the noise; the same seed, neighbours and spacing give the same noise.

    Returns:
        (rows, columns) float32, HU.

    Raises:
        InputError: there is no uniform soft tissue to measure the noise in, or no noise.
    """
    # Frequencies half-way between two rings go where rounding sends them: a spacing that came by another way must do the same.
    spacing = (round(spacing[0], 6), round(spacing[1], 6))
    near = scan[max(0, index - SLICES_AROUND) : index + SLICES_AROUND + 1]
    windows = tissue_windows(near, spacing)
    if windows is None:
        raise InputError("Near this slice there is no uniform soft tissue to measure the noise in; choose another slice.")
    frequency, power = tissue_noise_power(near, windows, spacing).radial
    own_sd = noise_sd(near, uniform_windows(near, spacing), spacing)
    if own_sd < LEAST_NOISE_HU or not power.any():
        raise InputError("Near this slice the scan has no noise of its own that can be measured; choose another slice or scan.")
    rows, columns = scan.shape[1:]
    along = np.fft.fftfreq(rows, spacing[0])[:, None] * MM_PER_CM, np.fft.rfftfreq(columns, spacing[1])[None, :] * MM_PER_CM
    # Below the first measured frequency the window's trend was taken away: a reconstruction's noise falls to 0 there.
    amplitude = np.sqrt(np.interp(np.hypot(*along), np.append(0, frequency), np.append(0, power)))
    white = np.random.default_rng(seed).standard_normal((rows, columns))
    noise = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(rows, columns))
    return (noise * (share * own_sd / noise.std())).astype(np.float32)
