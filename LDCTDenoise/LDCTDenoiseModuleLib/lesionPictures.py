"""The pictures of a lesion test as one strip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

SIDE_PX = 92
_GAP_PX = 3
_FILE = "ldctdenoise-lesion-test.png"


def lesionPictures(answers: list[dict[str, Any]], window: float, level: float) -> Any:
    """A QPixmap with a row for each disc: input with it, result with it, what it adds to the result.

    Args:
        answers: of the lesion test.
        window: HU, of the first two pictures; the third shows twice the disc's contrast around 0.
        level: HU, of the first two pictures.
    """
    rows = []
    for answer in answers:
        before, after, added = answer["pictures"]
        windows = ((window, level), (window, level), (2 * abs(answer["contrast"]), 0.0))
        pictures = [_grey(hu, *shown) for hu, shown in zip((before, after, added), windows, strict=True)]
        gap = np.zeros((SIDE_PX, _GAP_PX), np.uint8)
        rows += [np.hstack([pictures[0], gap, pictures[1], gap, pictures[2]])]
    gap = np.zeros((_GAP_PX, rows[0].shape[1]), np.uint8)
    strip = np.vstack([part for row in rows for part in (row, gap)][:-1])
    return _pixmap(strip)


def _grey(hu: np.ndarray, window: float, level: float) -> np.ndarray:
    """(side, side) grey values of a picture, its nearest pixels."""
    share = (hu - (level - window / 2)) / max(window, 1e-6)
    grey = (np.clip(share, 0, 1) * 255).astype(np.uint8)
    rows, columns = ((np.arange(SIDE_PX) * side) // SIDE_PX for side in grey.shape)
    return grey[np.ix_(rows, columns)]


def _pixmap(grey: np.ndarray) -> Any:
    """By way of a file: VTK's and Qt's pictures do not meet in Python."""
    image = vtk.vtkImageData()
    image.SetDimensions(grey.shape[1], grey.shape[0], 1)
    scalars = numpy_to_vtk(np.ascontiguousarray(grey[::-1]).ravel(), deep=True)  # VTK's first row is the lowest
    image.GetPointData().SetScalars(scalars)
    path = Path(slicer.app.temporaryPath) / _FILE
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputData(image)
    writer.Write()
    try:
        return qt.QPixmap(str(path))
    finally:
        path.unlink(missing_ok=True)
