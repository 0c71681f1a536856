"""Which model denoises, and how many levels of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import LDCTDenoiseError
from LDCTDenoiseLib.models.model_info import find_model, read_info, shipped_models

from .messages import messageOf
from .modelText import modelText
from .panelSection import PanelSection, fileName, saysErrors, select
from .wrappedLabels import setText

MODEL_SUFFIX = ".safetensors"


class ModelSection(PanelSection):
    """Model and levels."""

    def __init__(self, panel: Any) -> None:
        super().__init__(panel)
        for path in shipped_models():
            info = read_info(path)
            self.ui.modelCombo.addItem(info.name, info.name)
        self.ui.modelCombo.addItem(_("From file..."), "")
        self.ui.modelCombo.connect("activated(int)", self.onModelChosen)

    @saysErrors
    def onModelChosen(self, *_args: Any) -> None:
        """A cancelled file dialog changes nothing: the combo box goes back to the model that is set."""
        chosen = self.ui.modelCombo.itemData(self.ui.modelCombo.currentIndex)
        if not chosen:
            chosen = qt.QFileDialog.getOpenFileName(
                slicer.util.mainWindow(), _("LDCT Denoise: choose a model file"), "", _("Models (*.safetensors)")
            )
        if chosen and self.node is not None:
            self.node.model = str(chosen)
        self.panel.update()

    def update(self, node: Any) -> None:
        for index in reversed(range(self.ui.modelCombo.count)):
            path = self.ui.modelCombo.itemData(index)
            if path.endswith(MODEL_SUFFIX) and path != node.model and not Path(path).is_file():
                self.ui.modelCombo.removeItem(index)
        select(self.ui.modelCombo, node.model, fileName(node.model), before=_("From file..."))
        try:
            info = read_info(find_model(node.model))
        except LDCTDenoiseError as error:
            setText(self.ui.modelInfoLabel, messageOf(error))
            return
        setText(self.ui.modelInfoLabel, modelText(info))
        self.ui.levelsSpin.maximum = max(len(info.levels), node.levels)
