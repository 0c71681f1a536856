"""What the stand-in of Slicer promises, on a small module written like Slicer's template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parent / "slicer_standin" / "example" / "StandInExample.py"


@pytest.fixture
def entry(slicer_app):
    return slicer_app.load_module(EXAMPLE)


@pytest.fixture
def widget(entry):
    return entry.widgetRepresentation().self()


def add_volume(name: str = "CT"):
    import slicer

    return slicer.util.addVolumeFromArray(np.arange(64, dtype=np.int16).reshape(4, 4, 4) * 10, name=name)


def test_apply_computes_and_shows(slicer_app, widget):
    import slicer

    assert not widget.ui.applyButton.enabled
    add_volume()
    assert widget.ui.applyButton.enabled
    widget.ui.applyButton.click()
    assert widget.ui.resultLabel.text == "Done: Thresholded"
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert red.GetBackgroundVolumeID() == slicer.util.getNode("Thresholded").GetID()


def test_parameters_survive_saving_closing_and_loading(slicer_app, widget, tmp_path):
    volume = add_volume()
    widget.ui.thresholdSlider.value = 250.5
    widget.ui.directionBox.currentIndex = 1
    widget.ui.noteLine.text = "kept"
    widget._parameterNode.best = 7
    widget._parameterNode.picks = [1, 2]
    slicer_app.save_scene(tmp_path / "scene.mrml")
    slicer_app.close_scene()
    assert widget._parameterNode.inputVolume is None
    assert widget.ui.thresholdSlider.value == 100
    slicer_app.load_scene(tmp_path / "scene.mrml")
    parameters = widget._parameterNode
    assert (parameters.threshold, parameters.direction.name, parameters.note, parameters.best) == (250.5, "BELOW", "kept", 7)
    assert parameters.picks == [1, 2]
    assert parameters.inputVolume.GetName() == volume.GetName()
    assert widget.ui.thresholdSlider.value == 250.5
