"""The stand-in behaves as the real application was seen to behave (Slicer 5.12.3, Qt 5.15)."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from Testing.slicer.slicer_panel import Panel, add_ct, scroll_red_view
from Testing.slicer_standin.fixtures import reason_to_skip

if TYPE_CHECKING:
    from Testing.slicer_standin.application import Application

LAYOUT = 4711
VIEW = (
    '<item><view class="vtkMRMLSliceNode" singletontag="{0}"><property name="orientation" action="default">Axial</property>'
    '<property name="viewlabel" action="default">{0}</property><property name="viewcolor" action="default">#888888</property>'
    "</view></item>"
)


def manager() -> Any:
    import slicer

    return slicer.app.layoutManager()


def switch() -> tuple[Any, Any]:
    """A layout of two new views; their widgets."""
    node = manager().layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(LAYOUT, f'<layout type="horizontal">{VIEW.format("One")}{VIEW.format("Two")}</layout>')
    manager().setLayout(LAYOUT)
    return manager().sliceWidget("One"), manager().sliceWidget("Two")


def test_new_views_have_no_size_before_events_are_processed(slicer_app: Application) -> None:
    one, _two = switch()
    volume = add_ct()
    one.mrmlSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    assert one.mrmlSliceNode().GetDimensions()[:2] == (0, 0)
    one.sliceLogic().FitSliceToAll()
    slicer_app.process_events()
    assert np.isnan(one.mrmlSliceNode().GetFieldOfView()[0]), "fitted too early, the view stays black"
    assert min(one.mrmlSliceNode().GetDimensions()[:2]) > 0
    one.sliceLogic().FitSliceToAll()
    assert one.mrmlSliceNode().GetFieldOfView()[0] > 0


@pytest.mark.parametrize("linked", [True, False])
def test_views_linked_before_they_are_laid_out_drag_the_users_view_along(slicer_app: Application, linked: bool) -> None:
    import slicer

    volume = add_ct()
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    scroll_red_view(volume, 2)
    red = manager().sliceWidget("Red").mrmlSliceNode()
    before = red.GetSliceOffset()
    for view in switch():
        view.mrmlSliceCompositeNode().SetLinkedControl(linked)
    slicer_app.process_events()
    assert (red.GetSliceOffset() == before) == (not linked)


def test_a_view_outside_the_layout_keeps_its_node_and_is_not_visible(slicer_app: Application) -> None:
    import slicer

    assert manager().sliceWidget("Red").visible
    switch()
    assert slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed") is not None
    assert not manager().sliceWidget("Red").visible
    assert manager().sliceWidget("One").visible


def test_linked_views_do_not_link_window_and_level(slicer_app: Application) -> None:
    first, second = add_ct(), add_ct(name="Second")
    for name, volume in (("Red", first), ("Green", second)):
        composite = manager().sliceWidget(name).mrmlSliceCompositeNode()
        composite.SetBackgroundVolumeID(volume.GetID())
        composite.SetLinkedControl(True)
    first.GetDisplayNode().SetWindowLevel(1500, -600)
    slicer_app.process_events()
    assert second.GetDisplayNode().GetWindow() == 350


def test_a_wrapped_label_keeps_its_height_after_leaving_and_entering_until_the_panel_is_resized(panel: Panel) -> None:
    import qt

    label = qt.QLabel("One line")
    label.wordWrap = True
    panel.widget.layout.addWidget(label)
    panel.outer.resize(420, 1500)
    panel.app.process_events(0.05)
    panel.outer.exit()
    panel.outer.enter()
    label.text = "Many words that need several lines at this width. " * 5
    panel.app.process_events(0.05)
    assert label.height < label.heightForWidth(label.width)
    panel.outer.resize(421, 1500)
    panel.app.process_events(0.05)
    assert label.height >= label.heightForWidth(label.width)


def test_quitting_ends_an_event_loop_but_not_a_loop_of_process_events(slicer_app: Application) -> None:
    import qt
    import slicer

    seen: dict[str, float] = {}

    def pump() -> None:
        start = time.monotonic()
        while time.monotonic() - start < 0.6:
            slicer.app.processEvents()
        seen["pumped"] = time.monotonic() - start

    def loop() -> None:
        start = time.monotonic()
        qt.QEventLoop().exec_()
        seen["looped"] = time.monotonic() - start

    slicer_app.run_main_loop(pump, 0.1)
    slicer_app.run_main_loop(loop, 0.1)
    assert seen["pumped"] >= 0.6
    assert seen["looped"] < 0.5


def test_a_node_selector_chooses_a_neighbour_when_its_node_is_removed(panel: Panel) -> None:
    import slicer

    nodes = [add_ct(name=name) for name in ("A", "B", "C")]
    selector = panel.ui.referenceSelector
    panel.outer.exit()  # the module's own mend is not at work now
    selector.setCurrentNode(nodes[1])
    slicer.mrmlScene.RemoveNode(nodes[1])
    assert selector.currentNode() is nodes[2]
    slicer.mrmlScene.RemoveNode(nodes[2])
    assert selector.currentNode() is nodes[0]


def test_moving_an_roi_does_not_touch_the_parameter_node(panel: Panel) -> None:
    import slicer

    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "ROI")
    panel.pick("roiSelector", roi)
    touched: list[str] = []
    panel.parameters.AddObserver("ModifiedEvent", lambda *_: touched.append("modified"))
    roi.SetCenter(1, 2, 3)
    assert touched == []


def test_sample_data_without_a_network_raises_an_index_error(slicer_app: Application) -> None:
    import SampleData

    with pytest.raises(IndexError):
        SampleData.SampleDataLogic().downloadCTChest()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX priorities")
@pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())
def test_a_child_process_inherits_the_low_priority_of_slicer() -> None:
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent.parent.parent)!r})
from Testing.slicer_standin import start_application
start_application()
import qt
os.nice(19)  # last: beside other work all that follows takes long
process = qt.QProcess()
process.start(sys.executable, ["-c", "import os; print(os.getpriority(os.PRIO_PROCESS, 0))"])
process.waitForFinished(20000)
print(bytes(process.readAllStandardOutput().data()).decode().strip())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split()[-1:] == ["19"], done.stderr
