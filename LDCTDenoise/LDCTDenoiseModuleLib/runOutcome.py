"""What a run has computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import vtk

from LDCTDenoiseLib.worker.messages import Denoised


@dataclass(frozen=True)
class RunOutcome:
    """Voxels of one volume, not yet in the scene, and what the worker tells of them.

    Attributes:
        place: IJK to RAS of the source as its voxels were read; the node may have changed since.
        record: what is told about the result (``outputNodes.record``), of the source at that time, too.
    """

    image: vtk.vtkImageData
    noise: vtk.vtkImageData | None
    noiseSD: float
    answer: Denoised
    place: vtk.vtkMatrix4x4
    record: Mapping[str, Any]


def figuresOf(answer: Denoised) -> dict[str, Any]:
    """The worker's answer as scripts get it."""
    made = answer.made
    return {
        "device": made.device,
        "device_reason": answer.device_reason,
        "model": made.model,
        "model_hash": made.model_hash,
        "levels": made.levels,
        "seconds": answer.seconds,
        "comparison": answer.comparison,
    }
