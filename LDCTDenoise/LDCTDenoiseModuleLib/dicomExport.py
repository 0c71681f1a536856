"""A denoised volume as a derived DICOM series, slice by slice with the headers of the series that its source was loaded from."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.models.provenance import Provenance
from LDCTDenoiseLib.worker.exchange import ExchangeFolder, copy_in_chunks
from LDCTDenoiseLib.worker.messages import Export

from .eventLoopTask import Steps
from .outputNodes import ATTRIBUTE, SOURCE_REFERENCE, provenanceOf
from .volumeArrays import checkInput, ijkToRAS, sliceAxis, slicesOf

if TYPE_CHECKING:
    from .workerProcess import Worker

_FOLDER_NAME = "LDCTDenoise"
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
_SLICES_FIRST = 0
"""DICOM stacks slices along K, whatever way the patient lies."""


def exportSteps(worker: Worker, volumeNode: slicer.vtkMRMLScalarVolumeNode, folder: Path) -> Steps:
    """Steps that write a derived series; they return its SeriesInstanceUIDs.

    Args:
        volumeNode: a result of this module.
        folder: to make; it must not hold anything.

    Raises:
        InputError: the volume is no result, or its source's DICOM files are not to be found.
    """
    checkInput(volumeNode)
    made = _made(volumeNode)
    files, fromDatabase = sourceFiles(volumeNode)
    places, across, down = _grid(volumeNode)
    voxels = slicesOf(volumeNode.GetImageData(), _SLICES_FIRST)
    exchange = ExchangeFolder(slicer.app.temporaryPath)
    try:
        volume = exchange.allocate("volume", voxels.shape, voxels.dtype)
        yield from copy_in_chunks(voxels, volume.map("r+"))
        request = Export(
            exchange.path,
            volume,
            files=tuple(files),
            places=tuple(map(tuple, places.tolist())),
            across=tuple(across.tolist()),
            down=tuple(down.tolist()),
            target=folder,
            made=made,
        )
        answer = yield from worker.do(request)
    finally:
        exchange.remove()
    if fromDatabase:
        from DICOMLib import DICOMUtils

        DICOMUtils.importDicom(str(folder))
    return list(answer.series)


def newFolder(parent: str | Path) -> Path:
    """A folder name in ``parent`` that is not taken; nothing is made yet."""
    names = (_FOLDER_NAME if number == 1 else f"{_FOLDER_NAME} {number}" for number in itertools.count(1))
    return next(Path(parent) / name for name in names if not (Path(parent) / name).exists())


def _made(node: slicer.vtkMRMLScalarVolumeNode) -> Provenance:
    made = provenanceOf(node)
    if made is None:
        raise InputError(
            _("{name} is not a result of this module; press Apply, then export its output.").format(name=node.GetName())
        )
    if sliceAxis(node) != _SLICES_FIRST:  # denoised across the stack: every image has changed
        made = replace(made, slices=(0, node.GetImageData().GetDimensions()[2]))
    return made


def sourceFiles(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[list[Path], bool]:
    """The DICOM files that a result's source was loaded from, and whether Slicer's DICOM database knows them.

    Raises:
        InputError: it was not loaded from DICOM.
    """
    uids = (node.GetAttribute(ATTRIBUTE + "SourceInstanceUIDs") or "").split()
    database = slicer.dicomDatabase if hasattr(slicer, "dicomDatabase") else None
    if uids and database is not None:
        files = [database.fileForInstance(uid) for uid in uids]
        if all(files):
            return [Path(file) for file in files], True
    source = node.GetNodeReference(SOURCE_REFERENCE)
    storage = source.GetStorageNode() if source is not None else None
    names = []
    if storage is not None:
        names = [storage.GetNthFileName(index) for index in range(storage.GetNumberOfFileNames())] or [storage.GetFileName()]
    files = [Path(name) for name in names if name]
    if not files or any(file.suffix.lower() in (".nrrd", ".nhdr", ".nii", ".gz", ".mha", ".mhd") for file in files):
        raise InputError(
            _(
                "The source of {name} was not loaded from DICOM; save the volume as NRRD, or export it with Slicer's own module."
            ).format(name=node.GetName())
        )
    return files, False


def _grid(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """LPS of the first voxel of every slice, and the directions along rows and columns."""
    matrix = ijkToRAS(node)
    columns = np.array([[matrix.GetElement(row, column) for row in range(3)] for column in range(4)]) * _RAS_TO_LPS
    across, down, step, origin = columns
    count = node.GetImageData().GetDimensions()[2]
    places = origin + np.arange(count)[:, None] * step
    return places, across / np.linalg.norm(across), down / np.linalg.norm(down)
