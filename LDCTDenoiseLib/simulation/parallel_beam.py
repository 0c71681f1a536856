"""Parallel-beam projection and filtered back-projection in plain torch, on CPU and CUDA."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import torch
from torch.nn import functional as F


class Kernel(str, Enum):
    """Reconstruction kernel: the window on the ramp filter."""

    SOFT = "soft"  # Hann: no power at the highest frequency, like body kernels
    SHARP = "sharp"  # bare ramp (Ram-Lak), like lung and bone kernels


@dataclass(frozen=True)
class ParallelBeam:
    """Geometry of a parallel-beam scan of one slice.

    Rows are y, columns are x, the rotation centre is the middle of the matrix. View ``v`` has angle pi * v / views.

    Args:
        rows, columns: matrix of the slice.
        spacing: (rows, columns) pixel spacing in mm.
        views: projections over 180 degrees.
    """

    rows: int
    columns: int
    spacing: tuple[float, float]
    views: int = 720

    @property
    def bin_mm(self) -> float:
        """Detector bin width at the rotation centre, mm: the finer pixel spacing."""
        return min(self.spacing)

    @property
    def bins(self) -> int:
        """Detector bins: enough for the diagonal of the matrix."""
        diagonal = math.hypot(self.rows * self.spacing[0], self.columns * self.spacing[1])
        return math.ceil(diagonal / self.bin_mm) + 2

    def angles(self) -> list[float]:
        return [math.pi * view / self.views for view in range(self.views)]

    def _detector_mm(self, device: torch.device) -> torch.Tensor:
        return (torch.arange(self.bins, device=device) - (self.bins - 1) / 2) * self.bin_mm

    def project(self, slices: torch.Tensor) -> torch.Tensor:
        """Line integrals (Radon transform).

        Args:
            slices: (slices, rows, columns), attenuation per mm.

        Returns:
            (slices, views, bins) line integrals, without unit.
        """
        detector = self._detector_mm(slices.device)
        along, across = torch.meshgrid(detector, detector, indexing="ij")
        # grid_sample's coordinates run from -1 to 1 over the matrix's outer edges.
        half_height = self.rows * self.spacing[0] / 2
        half_width = self.columns * self.spacing[1] / 2
        sinogram = slices.new_empty(slices.shape[0], self.views, self.bins)
        for view, angle in enumerate(self.angles()):
            cosine, sine = math.cos(angle), math.sin(angle)
            x = (across * cosine - along * sine) / half_width
            y = (across * sine + along * cosine) / half_height
            grid = torch.stack([x, y], dim=-1)[None]
            rotated = F.grid_sample(slices[None], grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            sinogram[:, view] = rotated[0].sum(dim=1) * self.bin_mm
        return sinogram

    def filter(self, sinogram: torch.Tensor, kernel: Kernel) -> torch.Tensor:
        """Ramp-filter (slices, views, bins) along the detector, with the kernel's window; result per mm.

        The ramp is built from its band-limited impulse response, which keeps the mean right
        (Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, eq. 3.61).
        """
        size = 2 ** math.ceil(math.log2(2 * self.bins))
        offset = torch.fft.fftfreq(size, 1 / size).round()
        odd = offset.abs() % 2 == 1
        response = torch.zeros(size, dtype=torch.float64)
        response[odd] = -1 / (math.pi * offset[odd].double()) ** 2
        response[0] = 0.25
        ramp = torch.fft.rfft(response).real / self.bin_mm
        if kernel is Kernel.SOFT:
            frequency = torch.arange(len(ramp)) / size
            ramp = ramp * (0.5 + 0.5 * torch.cos(2 * math.pi * frequency))
        ramp = ramp.float().to(sinogram.device)
        return torch.fft.irfft(torch.fft.rfft(sinogram, n=size) * ramp, n=size)[..., : self.bins]

    def back_project(self, sinogram: torch.Tensor) -> torch.Tensor:
        """Back-project a filtered sinogram (slices, views, bins) to (slices, rows, columns)."""
        device = sinogram.device
        x = (torch.arange(self.columns, device=device) - (self.columns - 1) / 2) * self.spacing[1]
        y = (torch.arange(self.rows, device=device) - (self.rows - 1) / 2) * self.spacing[0]
        half_detector = self.bins * self.bin_mm / 2
        result = sinogram.new_zeros(sinogram.shape[0], self.rows, self.columns)
        for view, angle in enumerate(self.angles()):
            position = (x[None, :] * math.cos(angle) + y[:, None] * math.sin(angle)) / half_detector
            grid = torch.stack([position, torch.zeros_like(position)], dim=-1)[None]
            row = sinogram[None, :, view, None, :]
            result += F.grid_sample(row, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]
        return result * (math.pi / self.views)

    def reconstruct(self, sinogram: torch.Tensor, kernel: Kernel) -> torch.Tensor:
        """Filtered back-projection of line integrals: (slices, views, bins) to attenuation per mm."""
        return self.back_project(self.filter(sinogram, kernel))
