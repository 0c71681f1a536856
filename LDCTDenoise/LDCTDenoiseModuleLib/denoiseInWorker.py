"""Slices through the worker and back, as steps of an ``EventLoopTask``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.worker.exchange import ExchangeFolder, chunks, copy_in_chunks
from LDCTDenoiseLib.worker.messages import Denoise, Started

from .eventLoopTask import Steps

if TYPE_CHECKING:
    from .workerProcess import Worker


_BODY_HU = -500


@dataclass(frozen=True)
class Settings:
    """How to denoise, as the panel or a script asks for it.

    Attributes:
        options: the library's.
        force: denoise voxels that do not look like HU.
    """

    options: DenoisingOptions = field(default_factory=DenoisingOptions)
    force: bool = False


def denoiseSlices(
    worker: Worker,
    hu: np.ndarray,
    denoised: np.ndarray,
    spacing: Sequence[float],
    settings: Settings,
    *,
    slices: tuple[int, int] | None = None,
    reference: np.ndarray | None = None,
    noise: np.ndarray | None = None,
    compare: bool = False,
    progress: Callable[[int, int], Any] | None = None,
    started: Callable[[Started], Any] | None = None,
) -> Steps:
    """Steps that denoise (slices, rows, columns) into an array of the same shape.

    They return the worker's answer, ``Denoised``, and the SD of what was removed within the body in HU (0 without ``noise``).

    Args:
        hu: voxels in HU, a view that stays valid.
        denoised: where the result goes; untouched until the computation is complete.
        spacing: (rows, columns) in mm.
        slices: zero-based half-open range; None is all.
        reference: normal-dose voxels of the same shape, or None.
        noise: where what was removed goes, or None.
        compare: whether to measure before and after.
    """
    folder = ExchangeFolder(slicer.app.temporaryPath)
    try:
        volume = yield from share(folder, "volume", hu)
        shared = yield from share(folder, "reference", reference) if reference is not None else _nothing()
        resultType = hu.dtype if np.issubdtype(hu.dtype, np.integer) else np.dtype(np.float32)
        output = folder.allocate("output", hu.shape, resultType)
        request = Denoise(
            folder.path,
            volume,
            output,
            spacing=(float(spacing[0]), float(spacing[1])),
            options=settings.options,
            slices=slices,
            force=settings.force,
            compare=compare,
            reference=shared,
        )
        answer = yield from worker.do(request, progress or (lambda done, total: None), started or (lambda event: None))
        yield from copy_in_chunks(output.map(), denoised)
        noiseSD = 0.0
        if noise is not None:  # from the voxels that were read: those of the scene may have been edited since
            noiseSD = yield from _subtractInSteps(volume.map(), denoised, noise)
        yield from folder.remove_in_steps()
        return answer, noiseSD
    finally:
        folder.remove()


def _subtractInSteps(hu: np.ndarray, denoised: np.ndarray, noise: np.ndarray) -> Steps:
    """Steps that fill an array with what was removed: input minus output; they return its SD within the body, in HU."""
    count, total, squares = 0, 0.0, 0.0
    for part in chunks(noise.shape, noise.itemsize):
        np.subtract(hu[part], denoised[part], out=noise[part], casting="unsafe", dtype=noise.dtype)
        removed = noise[part][hu[part] > _BODY_HU].astype(np.float64)
        removed = removed[removed != 0]  # slices that were only copied
        count += removed.size
        total += removed.sum()
        squares += (removed**2).sum()
        yield
    return float(np.sqrt(max(0.0, squares / count - (total / count) ** 2))) if count else 0.0


def noiseType(dtype: np.dtype) -> np.dtype:
    """A voxel type that holds the differences of two images of a type: signed."""
    return np.result_type(dtype, np.int16) if np.issubdtype(dtype, np.integer) else dtype


def share(folder: ExchangeFolder, name: str, voxels: np.ndarray) -> Steps:
    """Steps that put voxels into an exchange folder; they return the array there."""
    array = folder.allocate(name, voxels.shape, voxels.dtype)
    yield from copy_in_chunks(voxels, array.map("r+"))
    return array


def _nothing() -> Steps:
    return None
    yield
