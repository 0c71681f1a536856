"""Pictures of the panel in each state: nothing cut off, nothing overlapping, also on a narrow panel and a display at 150 %.

The pictures lie in pytest's temporary folder (``--basetemp``) for people to look at.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from Testing.slicer.slicer_panel import Panel, add_ct, noisy_slices, scroll_red_view

NARROW = 350
WIDTHS = (NARROW, 420, 600)
DEFAULT_HEIGHT = 620
"""What Slicer leaves for a module's panel in a window of 1280 x 800, with the Data Probe closed."""


@pytest.fixture
def panel(warm_panel: Panel) -> Panel:
    return warm_panel


def fresh(panel: Panel) -> None:
    pass


def ready(panel: Panel) -> None:
    panel.parameters.model = "default"
    panel.pick("inputSelector", add_ct(name="3: Abdomen portal venous 1.0 mm B30f, a name as scanners give it"))


def running(panel: Panel) -> None:
    panel.start_long_run()
    panel.wait_for_slices(6)


def cancelled(panel: Panel) -> None:
    panel.start_long_run()
    panel.ui.cancelButton.click()
    panel.wait()


def error(panel: Panel) -> None:
    if sys.platform == "win32":
        pytest.skip("POSIX signals")
    panel.start_long_run()
    os.kill(panel.worker.client.pid, signal.SIGKILL)
    panel.wait()


def refused(panel: Panel) -> None:
    panel.pick("inputSelector", add_ct(noisy_slices(dtype=np.int32) + 2000))
    panel.apply()
    panel.wait()


def done_with_reference(panel: Panel) -> None:
    panel.parameters.model = "default"
    panel.pick("inputSelector", add_ct())
    panel.pick("referenceSelector", add_ct(name="Normal dose"))
    panel.want_noise_map()
    panel.denoise()


def region_range(panel: Panel) -> None:
    ready(panel)
    panel.ui.regionSection.collapsed = False
    panel.pick_text("regionCombo", "Slice range")


def region_roi(panel: Panel) -> None:
    import slicer

    ready(panel)
    panel.ui.regionSection.collapsed = False
    panel.pick_text("regionCombo", "Slices of an ROI")
    panel.pick("roiSelector", slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Liver"))


def preview(panel: Panel) -> None:
    volume = add_ct()
    panel.pick("inputSelector", volume)
    scroll_red_view(volume, 1)
    panel.ui.previewButton.click()
    panel.wait_for(lambda: panel.ui.previewInfoLabel.text.startswith("Slice"), "the preview")


def setup_without_torch(panel: Panel) -> None:
    panel.worker.client.shutdown()  # the next one finds no PyTorch
    panel.ui.setupSection.collapsed = False
    panel.wait_for(lambda: "not installed" in panel.ui.torchInfoLabel.text, "the report")


def two_strengths(panel: Panel) -> None:
    done_with_reference(panel)
    panel.ui.naturalStrengthButton.click()
    panel.denoise()


def lesion_tested(panel: Panel) -> None:
    import slicer

    panel.pick("inputSelector", add_ct(noisy_slices(2, 96)))
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion")
    panel.parameters.lesionPoint = point
    point.AddControlPoint(-15, -10, -500)
    panel.ui.lesionDiametersEdit.text = "8, 4"
    panel.ui.lesionTestButton.click()
    panel.wait_for(lambda: "in slice 0" in panel.ui.lesionInfoLabel.text, "the lesion test")


def lesion_mapped(panel: Panel) -> None:
    volume = add_ct(noisy_slices(2, 96))
    panel.pick("inputSelector", volume)
    scroll_red_view(volume, 1)
    panel.ui.lesionMapButton.click()
    panel.wait_for(lambda: "Signal kept" in panel.ui.lesionInfoLabel.text, "the map")


def everything_open(panel: Panel) -> None:
    done_with_reference(panel)
    for name in ("modelSection", "regionSection", "referenceSection", "setupSection"):
        getattr(panel.ui, name).collapsed = False
    panel.wait_for(lambda: "CUDA" in panel.ui.torchInfoLabel.text, "the report")


def long_names(panel: Panel) -> None:
    panel.pick("inputSelector", add_ct(name="CT_THORAX_ABDOMEN_KM_1.0_B30F_SERIES_00012_RECONSTRUCTION_WITHOUT_A_SPACE"))
    panel.denoise()


def missing_model(panel: Panel) -> None:
    panel.pick("inputSelector", add_ct())
    panel.parameters.model = r"C:\Users\somebody.else\AppData\Local\slicer.org\models\thorax_and_abdomen_low_dose_v12.safetensors"
    panel.apply()
    panel.wait()


STATES = (fresh, ready, running, cancelled, error, refused, done_with_reference, two_strengths, region_range, region_roi,
          preview, setup_without_torch, everything_open, long_names, missing_model, lesion_tested, lesion_mapped)  # fmt: skip


def name_of(widget: Any) -> str:
    return f"{widget.objectName or type(widget).__name__} ({type(widget).__name__})"


def drawn_size(label: Any) -> tuple[float, float]:
    """Width and height of a label's text when it is wrapped at the label's width."""
    import qt

    width = qt.QWidget.width(label)
    assert label.textFormat in (qt.Qt.PlainText, qt.Qt.RichText), f"{name_of(label)} guesses what its text is"
    if label.textFormat == qt.Qt.RichText:
        document = qt.QTextDocument()
        document.setDefaultFont(qt.QWidget.font(label))
        document.setDocumentMargin(0)
        document.setHtml(label.text)
        document.setTextWidth(width)
        return document.size.toTuple()
    flags = qt.Qt.TextWordWrap | qt.Qt.TextExpandTabs
    drawn = label.fontMetrics().boundingRect(qt.QRect(0, 0, width, 10**6), flags, label.text)
    return drawn.width(), drawn.height()


def cut_off(widget: Any) -> str:
    """What of a widget is not seen, in words; empty when all is."""
    import qt

    size, wanted = qt.QWidget.size(widget), qt.QWidget.minimumSizeHint(widget)
    if isinstance(widget, qt.QLabel):
        if widget.wordWrap:
            width, height = drawn_size(widget)
            if width > size.width() or height > size.height():
                return f"{name_of(widget)}: {size.toTuple()}, needs {width} x {height}: {widget.text[:60]}"
            return ""
        wanted = widget.sizeHint()
    elif isinstance(widget, qt.QAbstractButton) and widget.text:
        wanted = qt.QWidget.sizeHint(widget)
        if type(widget).__name__ == "ctkCollapsibleButton":
            wanted = qt.QSize(widget.fontMetrics().horizontalAdvance(widget.text) + 24, 0)
    if size.width() < wanted.width() or size.height() < wanted.height():
        return f"{name_of(widget)}: {size.toTuple()}, needs {wanted.toTuple()}"
    return ""


def too_low(panel: Panel) -> dict[str, tuple[int, int]]:
    """Wrapped labels that are lower than their text needs at their width: (height, needed)."""
    labels = {name: w for name, w in vars(panel.ui).items() if w.className() == "QLabel" and w.wordWrap and w.visible}
    heights = {name: (label.height, label.heightForWidth(label.width)) for name, label in labels.items()}
    return {name: (height, needed) for name, (height, needed) in heights.items() if height < needed}


def visible_children(parent: Any) -> list[Any]:
    import qt

    return [child for child in parent.children() if child.isWidgetType() and not qt.QWidget.isHidden(child)]


def faults(parent: Any) -> list[str]:
    """Widgets within a parent that are cut off, stick out of it or overlap."""
    import qt

    found = []
    children = visible_children(parent)
    inside = qt.QWidget.rect(parent)
    for child in children:
        found += [cut_off(child)] * bool(cut_off(child))
        if not inside.contains(qt.QWidget.geometry(child)):
            found.append(f"{name_of(child)} sticks out of {name_of(parent)}")
        if not isinstance(child, qt.QAbstractSpinBox | qt.QComboBox | qt.QAbstractScrollArea):
            found += faults(child)
    for one, other in itertools.combinations(children, 2):
        if qt.QWidget.geometry(one).intersects(qt.QWidget.geometry(other)):
            found.append(f"{name_of(one)} overlaps {name_of(other)}")
    return found


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_nothing_is_cut_off_or_overlaps(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Callable[[Panel], None]
) -> None:
    import qt

    if state is setup_without_torch:
        (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch', name='torch')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    state(panel)
    for dark, width, scale in itertools.product((False, True), WIDTHS, (1.0, 1.5)):
        panel.app.set_dark(dark)
        name = f"{state.__name__}_{width}_{scale:g}{'_dark' if dark else ''}.png"
        picture = panel.app.grab(panel.outer, tmp_path / name, width, scale)
        assert qt.QWidget.width(panel.outer) == width, "the panel does not get that narrow"
        assert sitk.ReadImage(str(picture)).GetSize()[0] == round(width * scale)
        assert faults(panel.outer) == [], width
        assert too_low(panel) == {}, width
    if state is setup_without_torch:
        panel.worker.client.shutdown()


def test_with_the_defaults_nothing_has_to_be_scrolled_for(panel: Panel, tmp_path: Path) -> None:
    import qt

    ready(panel)
    panel.app.grab(panel.outer, tmp_path / "ready.png", 420)
    assert qt.QWidget.height(panel.outer) <= DEFAULT_HEIGHT


def test_the_check_finds_what_is_cut_off_and_what_overlaps(panel: Panel) -> None:
    import qt

    panel.outer.resize(420, 900)
    panel.app.process_events(0.05)
    qt.QWidget.setGeometry(panel.ui.cancelButton, qt.QWidget.geometry(panel.ui.applyButton))
    panel.ui.inputLabel.resize(10, 5)
    found = " ".join(faults(panel.outer))
    assert "applyButton" in found
    assert "overlaps" in found
    assert "inputLabel" in found
