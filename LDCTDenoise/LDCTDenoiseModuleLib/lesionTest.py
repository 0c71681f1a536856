"""Would a lesion here survive? The library's lesion test through the worker, as steps of an ``EventLoopTask``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.worker.exchange import ExchangeFolder
from LDCTDenoiseLib.worker.messages import LesionAnswers, LesionMap, LesionMaps, LesionTest

from .denoiseInWorker import Settings, share
from .eventLoopTask import Steps
from .volumeArrays import checkInput, pixelSpacing, sliceAxis, sliceCount, slicesOf

if TYPE_CHECKING:
    from .workerProcess import Worker

PICTURES = 3
"""Input with the lesion, result with the lesion, and what the lesion adds to the result."""
SLICES_AROUND = 4
"""Neighbours on each side that the scan's own noise is measured in."""


def placeOf(volumeNode: slicer.vtkMRMLScalarVolumeNode, point: Sequence[float]) -> tuple[int, int, int]:
    """Slice, row and column of the voxel at a point.

    Args:
        volumeNode: a scalar volume.
        point: RAS of the world, mm.

    Raises:
        InputError: the point lies outside the volume.
    """
    toLocal = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, volumeNode.GetParentTransformNode(), toLocal)
    rasToIJK = vtk.vtkMatrix4x4()
    volumeNode.GetRASToIJKMatrix(rasToIJK)
    ijk = rasToIJK.MultiplyPoint((*toLocal.TransformPoint(tuple(point)), 1.0))[:3]
    place = [int(np.floor(index + 0.5)) for index in ijk[::-1]]
    dimensions = volumeNode.GetImageData().GetDimensions()[::-1]
    if not all(0 <= index < count for index, count in zip(place, dimensions, strict=True)):
        raise InputError(_("The point lies outside {name}; place it within the body.").format(name=volumeNode.GetName()))
    first = place.pop(sliceAxis(volumeNode))
    return first, place[0], place[1]


def lesionTestSteps(
    worker: Worker,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    point: Sequence[float],
    contrast: float,
    diameters: Sequence[float],
    settings: Settings,
) -> Steps:
    """Steps that insert discs into a copy of a slice, one after the other, and denoise it with and without.

    Args:
        worker: computes.
        volumeNode: the scan; it does not change.
        point: RAS of the world, mm.
        contrast: of the discs, HU.
        diameters: of the discs, mm.
        settings: how to denoise.

    Returns:
        ``slice``, ``place`` (row, column), ``device``, ``seconds`` and ``answers``: for each disc a dictionary with ``contrast``,
        ``diameter``, ``signal_kept``, ``noise_before``, ``noise_after``, ``cnr_before``, ``cnr_after`` and ``pictures``
        (3, rows, columns).
    """
    checkInput(volumeNode)
    index, row, column = placeOf(volumeNode, point)
    hu = slicesOf(volumeNode.GetImageData(), sliceAxis(volumeNode))[index : index + 1]
    spacing = pixelSpacing(volumeNode)
    folder = ExchangeFolder(slicer.app.temporaryPath)
    try:
        volume = yield from share(folder, "volume", hu)
        pictures = folder.allocate("pictures", (len(diameters), PICTURES, *hu.shape[1:]), np.dtype(np.float32))
        request = LesionTest(
            folder.path,
            volume,
            pictures,
            spacing=(float(spacing[0]), float(spacing[1])),
            slice=index,
            place=(row, column),
            lesions=tuple((float(contrast), float(diameter)) for diameter in diameters),
            options=settings.options,
            force=settings.force,
        )
        found = yield from worker.do(request)
        for number, answer in enumerate(found.answers):
            rows, columns = answer.pop("shape")
            answer["pictures"] = np.array(pictures.map()[number, :, :rows, :columns])
        return {**_told(found), "answers": list(found.answers), "slice": index, "place": (row, column)}
    finally:
        folder.remove()


def lesionMapSteps(
    worker: Worker,
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    index: int,
    contrast: float,
    diameter: float,
    settings: Settings,
    progress: Callable[[int, int], Any],
) -> Steps:
    """Steps that do the same at a grid of places of a slice.

    Returns:
        ``places`` (count), ``device``, ``seconds``, ``kept`` and ``left``: (1, rows, columns) shares of the signal that is kept
        and of the noise that is left, NaN outside the body; ``left`` is None where the scan's own noise cannot be measured.
    """
    checkInput(volumeNode)
    first = max(0, index - SLICES_AROUND)
    last = min(sliceCount(volumeNode), index + SLICES_AROUND + 1)
    hu = slicesOf(volumeNode.GetImageData(), sliceAxis(volumeNode))[first:last]
    folder = ExchangeFolder(slicer.app.temporaryPath)
    try:
        volume = yield from share(folder, "volume", hu)
        maps = folder.allocate("maps", (2, *hu.shape[1:]), np.dtype(np.float32))
        rows, columns = pixelSpacing(volumeNode)
        request = LesionMap(
            folder.path,
            volume,
            maps,
            spacing=(float(rows), float(columns)),
            index=index - first,
            slice=index,
            lesion=(float(contrast), float(diameter)),
            options=settings.options,
            force=settings.force,
        )
        found = yield from worker.do(request, progress)
        kept, left = np.array(maps.map()[:1]), np.array(maps.map()[1:])
        return {**_told(found), "kept": kept, "left": left if found.noise_left else None}
    finally:
        folder.remove()


def _told(found: LesionAnswers | LesionMaps) -> dict[str, Any]:
    """The worker's answer as scripts get it."""
    return {one.name: getattr(found, one.name) for one in fields(found)}
