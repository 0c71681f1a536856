"""Takes the README's pictures of the Slicer module: the real panel, the real computation, Slicer's own slice pipeline.

    make screenshots

The stand-in of Slicer (Testing/slicer_standin) runs the module without a display. Slice views are rendered by
vtkMRMLSliceLogic as in Slicer; the bar above each view with its colour and name is drawn here. Only the phantom is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PySide6 import QtCore, QtGui

from Testing.slicer_standin import start_application
from Testing.slicer_standin.application import Application

IMAGES = Path(__file__).resolve().parent / "images"
PANEL_WIDTH = 420
VIEW = 480
"""Rows and columns of a slice view."""
BODY = slice(64, 416)
"""Rows of it that the phantom fills."""
BAR = 24
SLICE = 4
OFFSET_MM = 20.0
"""Its place."""
LIVER = 164, 228
"""Column and row of a place in the phantom's liver."""
FADES = (0, 50, 100)
PATIENCE_S = 600
"""Longest wait for the computation on a busy CPU."""


def slice_picture(view: str, label: str) -> QtGui.QImage:
    """What a slice view shows, under a bar with its colour and a label."""
    import slicer
    from vtk.util.numpy_support import vtk_to_numpy

    logic = slicer.app.layoutManager().sliceWidget(view).sliceLogic()
    node = logic.GetSliceNode()
    node.SetDimensions(VIEW, VIEW, 1)
    logic.FitSliceToAll(VIEW, VIEW)
    node.SetSliceOffset(OFFSET_MM)  # fitting moves between two slices, to the volume's middle
    logic.UpdatePipeline()
    producer = logic.GetImageDataConnection().GetProducer()
    producer.Update()
    image = producer.GetOutputDataObject(0)
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(VIEW, VIEW, -1)
    shown = np.ascontiguousarray(pixels[::-1][BODY, :, :3])  # VTK's first row is the lowest
    height = BAR + len(shown)
    picture = QtGui.QImage(VIEW, height, QtGui.QImage.Format.Format_RGB888)
    picture.fill(QtGui.QColor.fromRgbF(*node.GetLayoutColor()))
    painter = QtGui.QPainter(picture)
    painter.drawText(QtCore.QRect(8, 0, VIEW, BAR), QtCore.Qt.AlignmentFlag.AlignVCenter, label)
    painter.drawImage(0, BAR, QtGui.QImage(shown.data, VIEW, len(shown), 3 * VIEW, QtGui.QImage.Format.Format_RGB888))
    painter.end()
    return picture


def side_by_side(pictures: list[QtGui.QImage], gap: int = 2) -> QtGui.QImage:
    width = sum(picture.width() for picture in pictures) + gap * (len(pictures) - 1)
    whole = QtGui.QImage(width, max(picture.height() for picture in pictures), QtGui.QImage.Format.Format_RGB888)
    whole.fill(QtCore.Qt.GlobalColor.black)
    painter = QtGui.QPainter(whole)
    left = 0
    for picture in pictures:
        painter.drawImage(left, 0, picture)
        left += picture.width() + gap
    painter.end()
    return whole


def save(picture: QtGui.QImage, name: str) -> None:
    if not picture.save(str(IMAGES / name)):
        raise OSError(f"{IMAGES / name} could not be written")


def lesion_test(application: Application, panel: Any, phantom: Any) -> None:
    """The panel after a lesion test in the liver, and both maps of the slice over the Red view."""
    import slicer
    import vtk

    ui = panel.self().ui
    matrix = vtk.vtkMatrix4x4()
    phantom.GetIJKToRASMatrix(matrix)
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion")
    point.AddControlPoint(*matrix.MultiplyPoint((*LIVER, SLICE, 1))[:3])
    panel.self().panel.node.lesionPoint = point
    ui.lesionDiametersEdit.text = "4, 8, 12"
    ui.lesionTestButton.click()
    application.wait_until(lambda: "Disc" in ui.lesionInfoLabel.text, PATIENCE_S, "the lesion test")
    application.grab(panel, IMAGES / "panel-lesion.png", PANEL_WIDTH)

    ui.lesionMapButton.click()
    application.wait_until(lambda: "places" in ui.lesionInfoLabel.text, PATIENCE_S, "the map")
    maps = []
    for entry, label in enumerate(("Signal kept (red: little)", "Noise left (red: much)")):
        ui.lesionMapCombo.setCurrentIndex(entry)
        maps.append(slice_picture("Red", label))
    save(side_by_side(maps), "lesion-map.png")
    ui.lesionMapButton.click()


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    application = start_application()
    panel = application.load_module("LDCTDenoise/LDCTDenoise.py").widgetRepresentation()
    ui = panel.self().ui
    import slicer

    source = slicer.modules.sampleDataSources["LDCT Denoise"][0]
    phantom = source.customDownloader(source)
    application.choose(ui.inputSelector, phantom.GetName())
    ui.noiseMapCheck.checked = True
    application.grab(panel, IMAGES / "panel-ready.png", PANEL_WIDTH)

    ui.previewButton.click()
    application.wait_until(lambda: ui.previewInfoLabel.text.startswith("Slice"), PATIENCE_S, "the preview")
    faded = []
    for percent in FADES:
        ui.fadeSlider.value = percent
        faded.append(slice_picture("Red", f"Red view, fade {percent} %"))
    save(side_by_side(faded), "preview.png")
    ui.previewButton.click()

    ui.applyButton.click()
    application.wait_until(lambda: ui.progressBar.value == phantom.GetImageData().GetDimensions()[2] // 2, PATIENCE_S, "half")
    application.grab(panel, IMAGES / "panel-running.png", PANEL_WIDTH)
    application.wait_until(lambda: not ui.cancelButton.enabled, PATIENCE_S, "the end of the run")
    application.grab(panel, IMAGES / "panel-done.png", PANEL_WIDTH)

    lesion_test(application, panel, phantom)

    ui.compareButton.click()
    names = {"LDCTInput": "Input", "LDCTOutput": "Output", "LDCTNoise": "Noise map: input - output"}
    save(side_by_side([slice_picture(view, label) for view, label in names.items()]), "compare.png")


if __name__ == "__main__":
    main()
