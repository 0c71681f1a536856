"""What a method does to the phantom, where the truth is known: resolution, low contrast, texture and HU, by dose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..measures.noise_level import noise_sd, uniform_windows
from ..measures.nps import NoisePower, noise_power
from ..measures.tissue_bias import tissue_bias, tissue_masks
from ..simulation.phantom import (
    EDGE_CONTRASTS_HU,
    EDGE_CYLINDERS,
    FIELD_MM,
    LIVER_CENTRE,
    LOW_CONTRAST_DISCS,
    LOW_CONTRASTS_HU,
    Phantom,
    make_phantom,
)
from .cnr import ContrastToNoise, contrast_to_noise
from .methods import Method
from .ttf import TaskTransfer, task_transfer

DOSES = (0.25, 0.10)
REALISATIONS = 12
"""Scans of the same slice with different noise: enough for the noise of a 50 HU edge to average out."""
_REGION_MM = 64.0
"""Side of the square in the liver that the noise is taken from."""


@dataclass(frozen=True)
class PhantomResult:
    """One method at one dose.

    Attributes:
        method: which.
        dose: which.
        scans: with different noise.
        noise_power: of what differs between scans of the same slice, in the liver.
        contrast_to_noise: of the larger discs by their contrast in HU.
        transfer: of the edge cylinders by their contrast in HU.
        bias: HU by tissue, against the truth.
    """

    method: str
    dose: float
    scans: int
    noise_power: NoisePower
    contrast_to_noise: Mapping[float, ContrastToNoise]
    transfer: Mapping[float, TaskTransfer]
    bias: Mapping[str, float]


def study_phantom(
    methods: Sequence[Method],
    doses: Sequence[float] = DOSES,
    *,
    realisations: int = REALISATIONS,
    size: int = 512,
) -> Iterator[PhantomResult]:
    """Apply every method to scans of the phantom's first slice at each dose.

    Args:
        methods: to judge, with the input among them if it is to stand in the table.
        doses: fractions of a usual dose.
        realisations: scans of the slice, at least 2.
        size: rows and columns of the matrix.
    """
    slice_ = make_phantom(1, size)
    phantom = Phantom(np.repeat(slice_.truth, realisations, axis=0), slice_.spacing)
    masks = tissue_masks(phantom.truth)
    for dose in doses:
        low = phantom.scan(dose)
        noise_hu = noise_sd(low, uniform_windows(phantom.truth, phantom.spacing), phantom.spacing)
        for method in methods:
            image = method.apply(low, noise_hu)
            yield PhantomResult(
                method.name,
                dose,
                realisations,
                ensemble_noise_power(image, phantom),
                {
                    contrast: contrast_to_noise(image, phantom, disc)
                    for contrast, disc in zip(LOW_CONTRASTS_HU, LOW_CONTRAST_DISCS, strict=False)
                },
                {
                    contrast: task_transfer(image, disc, phantom.spacing)
                    for contrast, disc in zip(EDGE_CONTRASTS_HU, EDGE_CYLINDERS, strict=True)
                },
                tissue_bias(image, phantom.truth, masks),
            )


def ensemble_noise_power(images: np.ndarray, phantom: Phantom) -> NoisePower:
    """NPS in the liver of what differs between scans of the same slice: neither organs nor blur pass for noise.

    Args:
        images: (scans, rows, columns), HU.
        phantom: of the same shape.
    """
    scans = len(images)
    # The mean holds 1/scans of each scan's own noise.
    noise = (images - images.mean(axis=0, dtype=np.float64)) * np.sqrt(scans / (scans - 1))
    height, width = (round(_REGION_MM / mm / 2) * 2 for mm in phantom.spacing)
    row, column = (
        round((centre + FIELD_MM / 2) / mm) - side // 2
        for centre, mm, side in zip(LIVER_CENTRE, phantom.spacing, (height, width), strict=True)
    )
    windows = np.array([[scan, row, column] for scan in range(scans)])
    return noise_power(noise, windows, (height, width), phantom.spacing)
