"""What a run has computed."""

from __future__ import annotations

from dataclasses import dataclass, field

import vtk


@dataclass
class RunOutcome:
    """Voxels of one volume, not yet in the scene."""

    image: vtk.vtkImageData
    noise: vtk.vtkImageData | None
    noiseSD: float
    result: dict = field(default_factory=dict)
