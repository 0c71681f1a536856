"""Sample data: a phantom at a quarter of a usual dose, and Slicer's CTChest with a quarter of its dose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import DenoisingCancelled, LDCTDenoiseError
from LDCTDenoiseLib.worker.exchange import ExchangeFolder, copy_in_chunks
from LDCTDenoiseLib.worker.messages import Phantom, Simulate

from .eventLoopTask import Steps
from .messages import messageOf
from .outputNodes import copyDisplay, placeBeside, putAt, showInSliceViews
from .parentTransform import ParentTransform
from .volumeArrays import ijkToRAS, newImage, pixelSpacing, sliceAxis, slicesOf

if TYPE_CHECKING:
    from .denoisingLogic import DenoisingLogic
    from .workerProcess import Worker

DOSE = 0.25
PHANTOM_SHAPE = (8, 512, 512)
CATEGORY = "LDCT Denoise"
PHANTOM = "LDCT phantom (quarter dose)"
CHEST = "CTChest (simulated quarter dose)"
_WINDOW, _LEVEL = 400, 50
Tell = Callable[[int, int], Any]
"""Hears of (slices done, slices to do)."""


def _nobody(done: int, total: int) -> None:
    pass


def register(makeLogic: Callable[[], DenoisingLogic], icons: Path) -> None:
    """Tell Slicer's Sample Data module what there is; nothing is computed or downloaded until it is asked for.

    Args:
        makeLogic: gives the module's logic.
        icons: folder of the thumbnails.
    """
    import SampleData

    add = SampleData.SampleDataLogic.registerCustomSampleDataSource
    for name, icon, make in (
        (PHANTOM, "LDCTPhantom.png", lambda: makeLogic().loadPhantom()),
        (CHEST, "LDCTChest.png", lambda: makeLogic().simulateQuarterDose(_chest())),
    ):
        add(
            category=CATEGORY,
            sampleName=name,
            uris=[],  # empty and not None: Slicer walks through them
            fileNames=[],
            thumbnailFileName=str(icons / icon),
            customDownloader=lambda source, make=make: _show(make),
        )


def _show(make: Callable[[], slicer.vtkMRMLScalarVolumeNode]) -> slicer.vtkMRMLScalarVolumeNode | None:
    """Make a sample and show it, as Slicer does with samples that it downloads; say so when it cannot be made."""
    try:
        node = make()
    except DenoisingCancelled:
        return None
    except Exception as error:  # whatever it is, the user must hear of it
        slicer.util.errorDisplay(messageOf(error), windowTitle=_("LDCT Denoise"))
        return None
    showInSliceViews(node, fit=True)
    return node


def _chest() -> slicer.vtkMRMLScalarVolumeNode:
    import SampleData

    try:
        volume = SampleData.SampleDataLogic().downloadCTChest()
    except Exception as error:  # without a network, an IndexError from inside
        raise LDCTDenoiseError(_noDownload()) from error
    if volume is None:
        raise LDCTDenoiseError(_noDownload())
    return volume


def _noDownload() -> str:
    told: str = _("CTChest could not be downloaded; check the network connection, or load a CT of your own.")
    return told


def phantomSteps(worker: Worker, shape: tuple[int, int, int] | None = None, progress: Tell = _nobody) -> Steps:
    """Steps that scan the library's phantom, of ``PHANTOM_SHAPE`` or another; they return the new volume node."""
    shape = shape or PHANTOM_SHAPE
    folder = ExchangeFolder(slicer.app.temporaryPath)
    try:
        output = folder.allocate("output", shape, np.dtype(np.int16))
        scan = yield from worker.do(Phantom(folder.path, output, DOSE), progress)
        image = vtk.vtkImageData()
        image.SetDimensions(shape[::-1])
        image.AllocateScalars(vtk.VTK_SHORT, 1)
        yield from copy_in_chunks(output.map(), slicesOf(image, 0))
    finally:
        folder.remove()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", slicer.mrmlScene.GenerateUniqueName(_("LDCT phantom")))
    rows, columns = scan.spacing
    # Columns run to the patient's left and rows to the back, as a scanner gives them.
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.SetSpacing(columns, rows, scan.slice_mm)
    node.SetOrigin(columns * (shape[2] - 1) / 2, rows * (shape[1] - 1) / 2, 0)
    node.SetAndObserveImageData(image)
    node.CreateDefaultDisplayNodes()
    display = node.GetScalarVolumeDisplayNode()
    if display is not None:
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(_WINDOW, _LEVEL)
    return node


def simulateSteps(worker: Worker, source: slicer.vtkMRMLScalarVolumeNode, dose: float = DOSE, progress: Tell = _nobody) -> Steps:
    """Steps that insert the noise of a dose fraction into a volume; they return the new volume node."""
    axis, place, transform = sliceAxis(source), ijkToRAS(source), ParentTransform(source)
    hu = slicesOf(source.GetImageData(), axis)
    image = newImage(source.GetImageData(), hu.dtype)
    folder = ExchangeFolder(slicer.app.temporaryPath)
    try:
        volume = folder.allocate("volume", hu.shape, hu.dtype)
        yield from copy_in_chunks(hu, volume.map("r+"))
        output = folder.allocate("output", hu.shape, hu.dtype)
        rows, columns = pixelSpacing(source)
        request = Simulate(folder.path, volume, output, (float(rows), float(columns)), dose)
        yield from worker.do(request, progress)
        yield from copy_in_chunks(output.map(), slicesOf(image, axis))
    finally:
        folder.remove()
    name = slicer.mrmlScene.GenerateUniqueName(_("{name} quarter dose").format(name=source.GetName()))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    putAt(place, transform, node)
    node.SetAndObserveImageData(image)
    copyDisplay(source, node)
    placeBeside(source, node)
    return node
