"""Classical filters to compare with, from kept libraries; their parameters are tuned on validation patients.

Each works slice by slice, as the networks do, and is told the noise level of the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

from ..ct.evenly_spread import evenly_spread
from ..errors import InputError
from ..measures.image_quality import ABDOMEN, Window, psnr_of_arrays
from ..system.extras import require_extra
from .dose_pair import DosePair
from .methods import Method

TUNING_SLICES = 3
"""Slices of each validation patient, evenly spaced, that the parameters are chosen on."""
Parameters = Mapping[str, float]


def non_local_means(image: np.ndarray, noise_hu: float, parameters: Parameters) -> np.ndarray:
    """Buades et al., CVPR 2005, by scikit-image; ``strength`` in units of the noise SD, ``patch`` in pixels."""
    with require_extra("report"):
        from skimage.restoration import denoise_nl_means
    return denoise_nl_means(
        image,
        patch_size=int(parameters["patch"]),
        patch_distance=8,
        h=parameters["strength"] * noise_hu,
        sigma=noise_hu,
        fast_mode=True,
    )


def median(image: np.ndarray, noise_hu: float, parameters: Parameters) -> np.ndarray:
    """Median of a square of 2 ``radius`` + 1 pixels, by SimpleITK."""
    radius = [int(parameters["radius"])] * 2
    return sitk.GetArrayFromImage(sitk.Median(sitk.GetImageFromArray(image), radius))


def curvature_diffusion(image: np.ndarray, noise_hu: float, parameters: Parameters) -> np.ndarray:
    """Whitaker and Xue, ICIP 2001 (modified curvature diffusion), by SimpleITK."""
    filtered = sitk.CurvatureAnisotropicDiffusion(
        sitk.GetImageFromArray(image),
        timeStep=0.125,  # the largest that is stable in two dimensions
        conductanceParameter=parameters["conductance"],
        numberOfIterations=int(parameters["iterations"]),
    )
    return sitk.GetArrayFromImage(filtered)


def bm3d_filter(image: np.ndarray, noise_hu: float, parameters: Parameters) -> np.ndarray:
    """Dabov et al., IEEE Trans Image Process 2007;16:2080, by its authors' package; ``strength`` times the noise SD.

    Raises:
        MissingExtraError: the ``bm3d`` extra is not installed.
    """
    with require_extra("bm3d"):
        from bm3d import bm3d
    return bm3d(image.astype(np.float64), sigma_psd=parameters["strength"] * noise_hu).astype(np.float32)


@dataclass(frozen=True)
class Baseline:
    """A filter and the parameters to choose from.

    Attributes:
        title: as it stands in tables.
        filter: one slice (rows, columns) float32 HU, noise SD in HU and parameters to the denoised slice.
        grid: values to try for each parameter.
        licence: what must be said beside its name.
    """

    title: str
    filter: Callable[[np.ndarray, float, Parameters], np.ndarray]
    grid: Mapping[str, tuple[float, ...]]
    licence: str = ""

    def settings(self) -> list[dict[str, float]]:
        """All combinations of the grid."""
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    def apply(self, low: np.ndarray, noise_hu: float, parameters: Parameters) -> np.ndarray:
        """Every slice of (slices, rows, columns) filtered: float32 HU."""
        return np.stack([self.filter(np.ascontiguousarray(one, np.float32), noise_hu, parameters) for one in low])

    def method(self, parameters: Parameters, how: str = "") -> Method:
        """The filter with fixed parameters.

        Args:
            parameters: one of :meth:`settings`.
            how: they were found.
        """
        told = ", ".join(f"{name} {value:g}" for name, value in parameters.items())
        note = "; ".join(part for part in (told, how, self.licence) if part)
        return Method(self.title, lambda low, noise_hu: self.apply(low, noise_hu, parameters), note)


BASELINES = {
    "nlm": Baseline("non-local means", non_local_means, {"strength": (0.4, 0.6, 0.8, 1.0), "patch": (3, 5, 7)}),
    "median": Baseline("median", median, {"radius": (1, 2, 3)}),
    "curvature": Baseline(
        "curvature diffusion", curvature_diffusion, {"conductance": (0.2, 0.4, 0.8, 1.6), "iterations": (1, 2, 4, 8)}
    ),
    "bm3d": Baseline("BM3D", bm3d_filter, {"strength": (0.7, 1.0, 1.4)}, "licence of bm3d: non-commercial use only"),
}


def find_baseline(name: str) -> Baseline:
    """A baseline by its short name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in BASELINES:
        raise InputError(f"There is no baseline '{name}'; choose from {', '.join(BASELINES)}.")
    return BASELINES[name]


def tuned_method(baseline: Baseline, validation: Sequence[DosePair], window: Window = ABDOMEN) -> Method:
    """The baseline with the parameters of the best mean PSNR on a few slices of each validation patient.

    Raises:
        InputError: there is no validation patient.
        MissingExtraError: the filter's package is not installed.
    """
    if not validation:
        raise InputError(
            f"There is no validation patient to tune the baseline {baseline.title} on; "
            "give at least one patient the split 'validate', or leave the baselines out."
        )

    def score(parameters: Parameters) -> float:
        values = []
        for pair in validation:
            chosen = evenly_spread(len(pair.low), TUNING_SLICES)
            filtered = baseline.apply(pair.low[chosen], pair.noise_hu, parameters)
            values.append(psnr_of_arrays(filtered, np.asarray(pair.full[chosen]), window))
        return float(np.mean(values))

    best = max(baseline.settings(), key=score)
    return baseline.method(best, f"tuned for PSNR {window.name} on {', '.join(pair.patient for pair in validation)}")
