"""Batches as they are stored, and the images that the device makes of them.

The loader only cuts regions out of memory maps; inserts, noise insertion, flips and rotations are done for a whole batch
where the training is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ...ct.hu import AIR_FLOOR_HU
from ...simulation.noise_insertion import with_scanner_floor
from .inserts import paint_inserts

ORIENTATIONS = 8
"""Four rotations, each as it is and flipped."""


class InsertedSample(NamedTuple):
    """Normal dose, and the noise to insert: (rows, columns) int16, (2, rows, columns) float16, (2,) float32."""

    full: np.ndarray
    noise: np.ndarray
    amplitude: np.ndarray


class MeasuredSample(NamedTuple):
    """Both doses: (rows, columns) int16."""

    full: np.ndarray
    low: np.ndarray


Sample = InsertedSample | MeasuredSample


class Batch(NamedTuple):
    """Samples of both kinds, those with inserted noise first.

    Attributes:
        inserted: full, noise and amplitude, with a leading batch axis; None when there is none.
        measured: full and low, likewise.
        orientation: (batch,) 0 to 7, which of the flips and rotations.
        inserts: random numbers of the ellipses to add (``inserts.paint_inserts``), and the chance of each; None adds none.
    """

    inserted: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None
    measured: tuple[torch.Tensor, torch.Tensor] | None
    orientation: torch.Tensor
    inserts: tuple[torch.Tensor, float] | None = None

    def images(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Normal and low dose, two (batch, 1, rows, columns) float32 HU, on the batch's device."""
        parts = []
        start = 0
        if self.inserted is not None:
            full, noise, amplitude = self.inserted
            full = self._with_inserts(full.float(), start)
            start = len(full)
            extra = (noise.float() * amplitude[:, :, None, None]).sum(dim=1)
            parts.append(torch.stack([full, with_scanner_floor(full, extra)]))
        if self.measured is not None:
            parts.append(self._with_inserts(torch.stack([one.float() for one in self.measured]), start))
        both = _turn(torch.cat(parts, dim=1), self.orientation)
        return both[0, :, None], both[1, :, None]

    def _with_inserts(self, images: torch.Tensor, start: int) -> torch.Tensor:
        """(..., images, rows, columns) of the batch from index ``start`` on, with their ellipses; padding stays padding."""
        if self.inserts is None:
            return images
        draws, chance = self.inserts
        added = paint_inserts(draws[start : start + images.shape[-3]], chance, images.shape[-1])
        return torch.where(images <= AIR_FLOOR_HU, images, (images + added).clamp(min=AIR_FLOOR_HU))


def collate(samples: Sequence[Sample], orientations: Sequence[int], inserts: tuple[np.ndarray, float] | None = None) -> Batch:
    """A batch of samples; with orientations other than 0 or inserts, their regions must be square.

    Args:
        samples, orientations: of the batch.
        inserts: (batch, ``inserts.DRAWS_PER_PATCH``) random numbers, and the chance of each ellipse.
    """
    order = sorted(range(len(samples)), key=lambda index: isinstance(samples[index], MeasuredSample))
    inserted = [samples[index] for index in order if isinstance(samples[index], InsertedSample)]
    measured = [samples[index] for index in order if isinstance(samples[index], MeasuredSample)]
    return Batch(
        _stack(inserted) if inserted else None,  # type: ignore[arg-type]
        _stack(measured) if measured else None,  # type: ignore[arg-type]
        torch.tensor([orientations[index] for index in order]),
        (torch.from_numpy(inserts[0][order]).float(), inserts[1]) if inserts else None,
    )


def _stack(samples: Sequence[Sample]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.stack(arrays)) for arrays in zip(*samples, strict=True))


def _turn(images: torch.Tensor, orientation: torch.Tensor) -> torch.Tensor:
    """Flip and rotate each image of (doses, batch, side, side): one gather for the batch, whatever its orientations."""
    doses, batch, rows, columns = images.shape
    if rows != columns:  # only squares are ever turned
        return images
    places = torch.arange(rows * columns, device=images.device).reshape(rows, columns)
    turned = [places.rot90(turns) for turns in range(4)]
    maps = torch.stack([*turned, *(one.flip(1) for one in turned)]).reshape(ORIENTATIONS, -1)
    chosen = maps[orientation].expand(doses, batch, -1)
    return images.flatten(2).gather(2, chosen).reshape(images.shape)
