"""The LDCTDenoise module of 3D Slicer: for now it explains itself; panel and logic follow."""

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget


class LDCTDenoise(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("LDCT Denoise")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Filtering")]
        parent.dependencies = []
        parent.contributors = ["The LDCTDenoise developers"]
        parent.helpText = _("Denoises low-dose CT with a cascade of dilated residual networks. For research, not for diagnosis.")
        parent.acknowledgementText = _("Method: Ataei, Alirezaie and Babyn, arXiv 2006.14738.")


class LDCTDenoiseWidget(ScriptedLoadableModuleWidget):
    """A panel that says how to denoise until it can do it itself."""

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        import qt

        self.explanation = qt.QLabel(
            _(
                "This panel is not finished. Save the CT as NRRD and run 'ldctdenoise denoise INPUT OUTPUT' "
                "in a terminal, then load the result."
            )
        )
        self.explanation.wordWrap = True
        self.layout.addWidget(self.explanation)
        self.layout.addStretch(1)
