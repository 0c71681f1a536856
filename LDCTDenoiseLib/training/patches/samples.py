"""Batches as they are stored, and the images that the device makes of them.

The loader only cuts regions out of memory maps; inserts, noise insertion, flips and rotations are done for a whole batch
where the training is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ...ct.hu import AIR_FLOOR_HU
from ...simulation.noise_insertion import with_scanner_floor
from .inserts import paint_inserts
from .lesions import paint_lesions

ORIENTATIONS = 8
"""Four rotations, each as it is and flipped."""


LOUDEST_HU = 110.0
"""SD to which the inserted noise of a patch is turned down: more is no use to anybody."""
LOUD_HU = 40.0
"""SD of the noise from which a patch has no lesions: what would keep them keeps the noise (docs/results/frontier.md)."""


class InsertedSample(NamedTuple):
    """Normal dose, and the noise to insert.

    Attributes:
        full: (rows, columns) int16.
        noise: (2, rows, columns) float16 of photons and electronics by the bare ramp, with a margin on every side.
        amplitude: (2,) float32, factors on both.
        window: (rows, columns // 2 + 1) float32 of the noise's size with its margin: the kernel, for ``rfft2``.
        own_noise: (rows, columns) int16, what the normal dose is freed of when it is the target; the low dose keeps it.
    """

    full: np.ndarray
    noise: np.ndarray
    amplitude: np.ndarray
    window: np.ndarray
    own_noise: np.ndarray


class MeasuredSample(NamedTuple):
    """Both doses: (rows, columns) int16."""

    full: np.ndarray
    low: np.ndarray


Sample = InsertedSample | MeasuredSample


class Lesions(NamedTuple):
    """Random numbers of the discs to add to some patches (``lesions.paint_lesions``).

    Attributes:
        draws: (patches, ``lesions.DRAWS_PER_PATCH``).
        spacing: (patches,), mm.
        patch: (patches,), which of the batch.
        halo: pixels on every side of a patch that its loss does not see.
    """

    draws: torch.Tensor
    spacing: torch.Tensor
    patch: torch.Tensor
    halo: int


class Images(NamedTuple):
    """A batch as a network learns from it, float32 HU on the batch's device.

    Attributes:
        full, low: (batch, 1, rows, columns), normal and low dose.
        lesions: (patches, 1, rows, columns) to add to the low dose of some, or None.
        patch: (patches,), which of the batch these are; None where ``lesions`` is.
    """

    full: torch.Tensor
    low: torch.Tensor
    lesions: torch.Tensor | None = None
    patch: torch.Tensor | None = None


class Batch(NamedTuple):
    """Samples of both kinds, those with inserted noise first.

    Attributes:
        inserted: fields of the samples with inserted noise, with a leading batch axis; None when there is none.
        measured: full and low, likewise.
        orientation: (batch,) 0 to 7, which of the flips and rotations.
        inserts: random numbers of the ellipses to add (``inserts.paint_inserts``), and the chance of each; None adds none.
        lesions: for the patches whose response is looked at; None adds none.
    """

    inserted: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor] | None
    measured: tuple[torch.Tensor, torch.Tensor] | None
    orientation: torch.Tensor
    inserts: tuple[torch.Tensor, float] | None = None
    lesions: Lesions | None = None

    def images(self) -> Images:
        """Normal and low dose, and the lesions to add."""
        parts, noise_hu = [], []
        start = 0
        if self.inserted is not None:
            scan, noise, amplitude, window, own_noise = self.inserted
            scan = self._with_inserts(scan.float(), start)
            start = len(scan)
            inserted = _shaped(noise, amplitude, window, scan.shape[-2:])
            low = with_scanner_floor(scan, inserted)
            parts.append(torch.stack([scan - own_noise.float(), low]))
            noise_hu.append(inserted.std(dim=(1, 2)))
        if self.measured is not None:
            parts.append(self._with_inserts(torch.stack([one.float() for one in self.measured]), start))
            noise_hu.append((parts[-1][1] - parts[-1][0]).std(dim=(1, 2)))
        full, low = _turn(torch.cat(parts, dim=1), self.orientation)[:, :, None]
        if self.lesions is None:
            return Images(full, low)
        draws, spacing, patch, halo = self.lesions
        seen = torch.cat(noise_hu)[patch] < LOUD_HU
        if not seen.any():
            return Images(full, low)
        return Images(full, low, paint_lesions(draws[seen], spacing[seen], full.shape[-1], halo), patch[seen])

    def _with_inserts(self, images: torch.Tensor, start: int) -> torch.Tensor:
        """(..., images, rows, columns) of the batch from index ``start`` on, with their ellipses; padding stays padding."""
        if self.inserts is None:
            return images
        draws, chance = self.inserts
        added = paint_inserts(draws[start : start + images.shape[-3]], chance, images.shape[-1])
        return torch.where(images <= AIR_FLOOR_HU, images, (images + added).clamp(min=AIR_FLOOR_HU))


def collate(
    samples: Sequence[Sample],
    orientations: Sequence[int],
    inserts: tuple[np.ndarray, float] | None = None,
    lesions: Mapping[int, tuple[np.ndarray, float]] | None = None,
    halo: int = 0,
) -> Batch:
    """A batch of samples; with orientations other than 0, inserts or lesions, their regions must be square.

    Args:
        samples, orientations: of the batch.
        inserts: (batch, ``inserts.DRAWS_PER_PATCH``) random numbers, and the chance of each ellipse.
        lesions: for some of the samples, by their place in ``samples``, random numbers of discs and the pixel spacing in mm.
        halo: pixels on every side of a sample that its loss does not see.
    """
    order = sorted(range(len(samples)), key=lambda index: isinstance(samples[index], MeasuredSample))
    inserted = [samples[index] for index in order if isinstance(samples[index], InsertedSample)]
    measured = [samples[index] for index in order if isinstance(samples[index], MeasuredSample)]
    chosen = [(place, *lesions[index]) for place, index in enumerate(order) if index in lesions] if lesions else []
    return Batch(
        _stack(inserted) if inserted else None,  # type: ignore[arg-type]
        _stack(measured) if measured else None,  # type: ignore[arg-type]
        torch.tensor([orientations[index] for index in order]),
        (torch.from_numpy(inserts[0][order]).float(), inserts[1]) if inserts else None,
        Lesions(
            torch.from_numpy(np.stack([draws for _, draws, _ in chosen])).float(),
            torch.tensor([spacing for *_, spacing in chosen]),
            torch.tensor([place for place, *_ in chosen]),
            halo,
        )
        if chosen
        else None,
    )


def _shaped(noise: torch.Tensor, amplitude: torch.Tensor, window: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """The noise of a dose and a kernel, without its margin: (batch, rows, columns), HU."""
    mixed = (noise.float() * amplitude[:, :, None, None]).sum(dim=1)
    shaped = torch.fft.irfft2(torch.fft.rfft2(mixed) * window, s=mixed.shape[-2:])
    row, column = ((whole - part) // 2 for whole, part in zip(mixed.shape[-2:], size, strict=True))
    inner = shaped[:, row : row + size[0], column : column + size[1]]
    loud = inner.std(dim=(1, 2), keepdim=True) / LOUDEST_HU
    return inner / loud.clamp(min=1)


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
