"""The maps of the lesion test as colours over a slice view."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .sliceOverlay import SliceOverlay
from .sliceViews import SliceView

KEPT, LEFT = "kept", "left"
_COLOURS = 256
_BLUE_HUE = 2 / 3
_OPACITY = 0.4
_OUTSIDE = -1.0


class LesionMapView:
    """Lays one of the maps over the slice that it was made of."""

    def __init__(self) -> None:
        self._overlay = SliceOverlay(_("LDCT Denoise lesion map"))
        self._overlay.opacity = _OPACITY
        self._colours: Any = None

    @property
    def shown(self) -> bool:
        """Whether a map is on the screen."""
        return self._overlay.node is not None

    def show(
        self, volumeNode: slicer.vtkMRMLScalarVolumeNode, maps: dict[str, Any], kind: str, index: int, view: SliceView
    ) -> None:
        """Show a map, ``KEPT`` or ``LEFT``, in place of another."""
        shares = np.clip(maps[kind], 0, 1)
        self._overlay.lay(volumeNode, np.where(np.isnan(shares), _OUTSIDE, shares).astype(np.float32), index, view)
        node = self._overlay.node
        if node.GetDisplayNode() is None:
            node.CreateDefaultDisplayNodes()
        display = node.GetScalarVolumeDisplayNode()
        earlier, self._colours = self._colours, _colourTable(kind)
        display.SetAndObserveColorNodeID(self._colours.GetID())
        _removeNode(earlier)
        display.SetAutoWindowLevel(False)
        display.SetWindowLevel(1.0, 0.5)
        display.SetInterpolate(False)
        display.SetAutoThreshold(False)
        display.SetThreshold(0.0, 1.0)
        display.SetApplyThreshold(True)
        self._overlay.show(volumeNode)

    def remove(self) -> None:
        """Take the map away without a trace."""
        self._overlay.remove()
        _removeNode(self._colours)
        self._colours = None


def _colourTable(kind: str) -> Any:
    """From red to blue, red where to be careful: little of the signal is kept, much of the noise is left.

    Slicer's own rainbows end in magenta, which reads as red.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", _("LDCT Denoise lesion map colours"))
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetTypeToUser()
    node.SetNumberOfColors(_COLOURS)
    for number in range(_COLOURS):
        careful = number / (_COLOURS - 1) if kind == LEFT else 1 - number / (_COLOURS - 1)
        node.SetColor(number, str(number), *colorsys.hsv_to_rgb(_BLUE_HUE * (1 - careful), 1, 1), 1)
    return node


def _removeNode(node: Any) -> None:
    if node is not None and node.GetScene() is not None:  # it went with its scene
        slicer.mrmlScene.RemoveNode(node)
