"""What the stand-in of Slicer promises, and what it refuses, on a small module written like Slicer's template."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[1] / "slicer_standin" / "example" / "StandInExample.py"
UI = EXAMPLE.parent / "Resources" / "UI" / "StandInExample.ui"

PACK = """
    @parameterPack
    class Point:
        x: float
        y: float = 2.0

    @parameterNodeWrapper
    class Parameters:
        point: Point
"""


@pytest.fixture
def entry(slicer_app):
    return slicer_app.load_module(EXAMPLE)


@pytest.fixture
def widget(entry):
    return entry.widgetRepresentation().self()


@pytest.fixture
def load_ui(slicer_app, tmp_path):
    def load(text):
        import slicer

        path = tmp_path / "panel.ui"
        path.write_text(text)
        return slicer.util.loadUI(path)

    return load


def add_volume(name="CT", node_class="vtkMRMLScalarVolumeNode"):
    import slicer

    values = np.arange(64, dtype=np.int16).reshape(4, 4, 4) * 10
    return slicer.util.addVolumeFromArray(values, name=name, nodeClassName=node_class)


class TestPythonQtManners:
    def test_properties_are_attributes(self, slicer_app):
        import qt

        label = qt.QLabel("before")
        label.text = "after"
        label.name = "title"
        assert (label.text, label.objectName, label.enabled, label.className()) == ("after", "title", True, "QLabel")
        with pytest.raises(TypeError, match="not callable"):
            label.text()

    def test_a_property_takes_only_its_type(self, slicer_app):
        import qt

        with pytest.raises(TypeError):
            qt.QLabel().text = 5
        with pytest.raises(AttributeError, match="not writable"):
            qt.QTimer().active = True

    @pytest.mark.parametrize("make", ["QPushButton", "QTimer", "QProcess"])
    def test_new_attributes_are_refused(self, slicer_app, make):
        import qt

        instance = getattr(qt, make)()
        with pytest.raises(AttributeError, match="does not exist"):
            instance.tooltip = "mistyped"
        with pytest.raises(AttributeError):
            _ = instance.tooltip

    def test_objects_that_qt_made_have_the_manners_too(self, slicer_app):
        import qt

        table = qt.QTableWidget(2, 3)
        header = table.horizontalHeader()
        header.stretchLastSection = True
        assert (table.rowCount, header.stretchLastSection) == (2, True)
        with pytest.raises(AttributeError):
            header.stretch = True

    def test_classes_derived_in_python_take_attributes(self, slicer_app):
        import qt

        class Dialog(qt.QDialog):
            def __init__(self):
                qt.QDialog.__init__(self)
                self.answer = 42

        dialog = Dialog()
        dialog.windowTitle = "Title"
        assert (dialog.answer, dialog.windowTitle, dialog.className()) == (42, "Title", "QDialog")

    def test_keywords_of_constructors_and_inventions_of_pyside_are_refused(self, slicer_app):
        import qt

        with pytest.raises(TypeError, match="keyword"):
            qt.QPushButton(text="Apply")
        for name in ("Signal", "Slot", "QtWidgets", "QRegExp", "QInputDialog"):
            with pytest.raises(AttributeError):
                getattr(qt, name)

    def test_static_functions_of_the_class_and_properties_of_the_instance(self, slicer_app):
        import qt

        called = []
        qt.QTimer.singleShot(0, lambda: called.append(True))
        timer = qt.QTimer()
        timer.singleShot = True
        assert timer.singleShot
        slicer_app.wait_until(lambda: called, 2, "the timer")

    def test_processes_and_their_output(self, slicer_app):
        import qt

        process, ended, lines = qt.QProcess(), [], []
        environment = qt.QProcessEnvironment.systemEnvironment()
        environment.insert("GREETING", "grüezi")
        process.setProcessEnvironment(environment)
        process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
        process.connect(
            "readyReadStandardOutput()",
            lambda: lines.append(bytes(process.readAllStandardOutput().data()).decode("utf-8", "replace")),
        )
        code = "import os, sys; sys.stdout.buffer.write(os.environ['GREETING'].encode()); sys.exit(3)"
        process.start(sys.executable, ["-X", "utf8", "-c", code])
        slicer_app.wait_until(lambda: ended, 20, "the end of the process")
        assert ended == [(3, qt.QProcess.NormalExit)]
        assert "".join(lines) == "grüezi"


class TestSignals:
    def test_surplus_arguments_are_dropped(self, slicer_app):
        import qt

        class Panel:
            def __init__(self):
                self.calls = []

            def none(self):
                self.calls.append(())

            def one(self, checked):
                self.calls.append((checked,))

            def all(self, *arguments):
                self.calls.append(arguments)

        panel, box = Panel(), qt.QCheckBox()
        for slot in (panel.none, panel.one, panel.all):
            box.connect("toggled(bool)", slot)
        box.click()
        assert panel.calls == [(), (True,), (True,)]

    def test_a_default_argument_takes_the_signals_value(self, slicer_app):
        """The trap of ``lambda value=value: ...`` in Slicer."""
        import qt

        box, got = qt.QCheckBox(), []
        box.connect("toggled(bool)", lambda value="mine": got.append(value))
        box.click()
        assert got == [True]

    def test_disconnect(self, slicer_app):
        import qt

        button, calls = qt.QPushButton(), []

        def slot():
            calls.append(True)

        button.connect("clicked()", slot)
        assert button.disconnect("clicked()", slot)
        button.click()
        assert calls == []
        assert not button.disconnect("clicked()", slot)

    def test_signals_as_attributes(self, slicer_app):
        import qt

        button, calls = qt.QPushButton(), []
        button.clicked.connect(calls.append)
        button.click()
        assert calls == [False]

    @pytest.mark.parametrize("signature", ["clickd()", "clicked(int)", "clicked", "currentIndexChanged(QString)"])
    def test_unknown_signatures_raise(self, slicer_app, signature):
        import qt

        with pytest.raises(TypeError, match="no signal"):
            qt.QPushButton().connect(signature, print)

    def test_receiver_and_slot_by_name(self, slicer_app):
        import qt

        box, line = qt.QCheckBox(), qt.QLineEdit()
        box.connect("toggled(bool)", line, "setDisabled(bool)")
        box.click()
        assert not line.enabled
        with pytest.raises(TypeError, match="no slot"):
            box.connect("toggled(bool)", line, "setDisabld(bool)")

    def test_exceptions_in_slots_are_seen_by_the_test_and_stop_nothing(self, slicer_app):
        import qt

        def fail():
            raise KeyError("in a slot")

        button = qt.QPushButton()
        button.connect("clicked()", fail)
        with slicer_app.expected_exceptions() as exceptions:
            button.click()
        assert [type(error) for error in exceptions] == [KeyError]
        assert slicer_app.exceptions == []

    def test_exceptions_in_observers_are_seen_too(self, slicer_app):
        def fail(_caller, _event):
            raise KeyError("in an observer")

        node = add_volume()
        node.AddObserver("ModifiedEvent", fail)
        with slicer_app.expected_exceptions() as exceptions:
            node.Modified()
        assert [type(error) for error in exceptions] == [KeyError]


class TestDialogs:
    def test_messages_are_recorded(self, slicer_app):
        import slicer

        slicer.util.errorDisplay("wrong", detailedText="trace")
        slicer.util.warningDisplay("careful")
        slicer.util.infoDisplay("done", windowTitle="Title")
        slicer.util.delayDisplay("passing", 2000)
        kinds = [(message.kind, message.text) for message in slicer_app.messages]
        assert kinds == [("error", "wrong"), ("warning", "careful"), ("info", "done"), ("delay", "passing")]
        assert slicer_app.messages[0].details == "trace"
        assert slicer_app.messages[2].title == "Title"

    def test_questions_are_answered(self, slicer_app):
        import ctk
        import qt
        import slicer

        slicer_app.messages.answer(True, False, True, qt.QMessageBox.Cancel, False)
        assert slicer.util.confirmOkCancelDisplay("Go on?")
        assert not slicer.util.confirmYesNoDisplay("Sure?")
        assert qt.QMessageBox.question(None, "Title", "Really?") == qt.QMessageBox.Yes
        box = ctk.ctkMessageBox()
        box.text = "Overwrite?"
        box.standardButtons = qt.QMessageBox.Ok | qt.QMessageBox.Cancel
        assert box.exec_() == qt.QMessageBox.Cancel
        assert not slicer.util.confirmRetryCloseDisplay("Again?")
        assert slicer_app.messages.texts("question")[:3] == ["Go on?", "Sure?", "Really?"]
        assert slicer_app.messages.unused_answers == []

    def test_a_question_without_an_answer_raises(self, slicer_app):
        import slicer

        with pytest.raises(RuntimeError, match="No answer was given to: Delete"):
            slicer.util.confirmOkCancelDisplay("Delete everything?")

    def test_nobody_is_asked_in_testing_mode(self, slicer_app):
        import slicer

        slicer_app.set_testing_mode(True)
        assert not slicer.util.confirmOkCancelDisplay("Go on?")  # Slicer 5.12.4 compares True with a button
        slicer.util.errorDisplay("wrong")
        assert slicer_app.messages.texts("error") == ["wrong"]

    def test_file_dialogs_give_the_path_alone(self, slicer_app):
        import qt

        slicer_app.messages.answer("/data/model.safetensors", "")
        assert qt.QFileDialog.getOpenFileName(None, "Model", "", "Models (*.safetensors)") == "/data/model.safetensors"
        assert qt.QFileDialog.getExistingDirectory(None, "Folder") == ""

    def test_nothing_is_opened_in_the_browser(self, slicer_app):
        import qt

        qt.QDesktopServices.openUrl(qt.QUrl("https://www.slicer.org"))
        assert slicer_app.messages.opened_urls == ["https://www.slicer.org"]

    def test_an_error_is_shown_and_raised_again(self, slicer_app):
        import slicer

        with pytest.raises(ValueError, match="bad"), slicer.util.tryWithErrorDisplay("It failed.", waitCursor=True):
            raise ValueError("bad")
        assert slicer_app.messages.texts("error") == ["It failed.\n\nbad"]


class TestCtkWidgets:
    def test_a_collapsible_button_hides_its_contents(self, slicer_app):
        import ctk
        import qt

        button = ctk.ctkCollapsibleButton()
        button.text = "Advanced"
        layout = qt.QVBoxLayout(button)
        shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
        hidden.visible = False
        button.collapsed = True
        layout.addWidget(shown)
        layout.addWidget(hidden)
        changes = []
        button.connect("contentsCollapsed(bool)", changes.append)
        button.show()
        assert not shown.visible
        button.collapsed = False
        assert (shown.visible, hidden.visible, changes) == (True, False, [False])

    def test_a_slider_keeps_to_its_range_and_decimals(self, slicer_app):
        import ctk

        slider, values = ctk.ctkSliderWidget(), []
        slider.connect("valueChanged(double)", values.append)
        slider.maximum = 1.0
        slider.singleStep = 0.05
        slider.decimals = 1
        slider.suffix = " %"
        slider.value = 0.33
        slider.value = 7
        assert values == [0.3, 1.0]

    def test_a_range(self, slicer_app):
        import ctk

        widget, changes = ctk.ctkRangeWidget(), []
        widget.connect("valuesChanged(double,double)", lambda low, high: changes.append((low, high)))
        widget.maximum = 10
        widget.setValues(2, 5)
        widget.minimumValue = 7
        assert changes == [(0, 10), (2, 5), (7, 7)]

    def test_browsing_for_a_path(self, slicer_app):
        import ctk

        line, paths = ctk.ctkPathLineEdit(), []
        line.filters = ctk.ctkPathLineEdit.Files
        line.connect("currentPathChanged(QString)", paths.append)
        slicer_app.messages.answer("/data/model.safetensors")
        line.browse()
        assert paths == ["/data/model.safetensors"]

    def test_unknown_widgets_are_refused(self, slicer_app):
        import ctk
        import slicer

        with pytest.raises(AttributeError, match="ctkVTKRenderView"):
            _ = ctk.ctkVTKRenderView
        with pytest.raises(AttributeError):
            _ = slicer.qMRMLSegmentEditorWidget
        with pytest.raises(AttributeError, match="does not exist"):
            ctk.ctkSliderWidget().maximumValue = 3


class TestNodeComboBox:
    @pytest.fixture
    def selector(self, slicer_app):
        import slicer

        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.setMRMLScene(slicer.mrmlScene)
        yield selector
        selector.setMRMLScene(None)

    def test_without_none_the_first_node_is_chosen(self, selector):
        changes = []
        selector.connect("currentNodeChanged(vtkMRMLNode*)", changes.append)
        first, second = add_volume("first"), add_volume("second")
        assert selector.currentNode() is first
        selector.setCurrentNode(second)
        assert selector.currentNodeID == second.GetID()
        assert changes == [first, second]

    def test_with_none_nothing_is_chosen_and_a_removed_node_leaves_none(self, selector):
        import slicer

        selector.noneEnabled = True
        node = add_volume()
        assert selector.currentNode() is None
        selector.setCurrentNode(node)
        slicer.mrmlScene.RemoveNode(node)
        assert selector.currentNode() is None

    def test_derived_classes_only_where_wanted(self, selector):
        plain, labels = add_volume("plain"), add_volume("labels", "vtkMRMLLabelMapVolumeNode")
        assert selector.nodeCount() == 2
        selector.showChildNodeTypes = False
        assert [selector.nodeFromIndex(0), selector.nodeCount()] == [plain, 1]
        selector.setCurrentNode(labels)
        assert selector.currentNode() is None

    def test_hidden_nodes_and_attributes(self, selector):
        import slicer

        hidden = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScalarVolumeNode")
        hidden.UnRegister(None)
        hidden.SetHideFromEditors(True)
        slicer.mrmlScene.AddNode(hidden)
        node = add_volume()
        node.SetAttribute("Kind", "CT")
        assert selector.nodeCount() == 1
        selector.addAttribute("vtkMRMLScalarVolumeNode", "Kind", "MR")
        assert selector.nodeCount() == 0

    def test_a_person_creates_renames_and_deletes(self, slicer_app, selector):
        selector.baseName = "Denoised"
        selector.renameEnabled = True
        by_user = []
        selector.connect("nodeAddedByUser(vtkMRMLNode*)", by_user.append)
        slicer_app.choose(selector, "Create new Denoised")
        assert selector.currentNode().GetName() == "Denoised"
        assert by_user == [selector.currentNode()]
        slicer_app.messages.answer("Better")
        slicer_app.choose(selector, "Rename current Denoised")
        assert selector.currentNode().GetName() == "Better"
        slicer_app.choose(selector, "Delete current Denoised")
        assert selector.currentNode() is None

    def test_without_a_scene_nothing_can_be_chosen(self, slicer_app):
        import slicer

        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        selector.setCurrentNode(add_volume())
        assert selector.currentNode() is None

    def test_unknown_node_classes_are_refused(self, selector):
        with pytest.raises(ValueError, match="vtkMRMLScalarVolume"):
            selector.nodeTypes = ["vtkMRMLScalarVolume"]


class TestUiFile:
    @pytest.mark.parametrize(
        ("right", "wrong", "message"),
        [
            ('class="ctkSliderWidget"', 'class="ctkSlidrWidget"', "unknown class: ctkSlidrWidget"),
            ('name="noneDisplay"', 'name="noneDispay"', "unknown property of 'outputSelector'"),
            ('name="SlicerParameterName" stdset="0"', 'name="SlicerParameterName"', "unknown property"),
            ("<receiver>noteLine</receiver>", "<receiver>notLine</receiver>", "'notLine', which does not exist"),
            ("setEnabled(bool)", "setEnabld(bool)", "no slot"),
            ("toggled(bool)", "togled(bool)", "no signal"),
            ('name="noteLine"', 'name="invertBox"', "used twice"),
        ],
    )
    def test_mistakes_raise(self, load_ui, right, wrong, message):
        text = UI.read_text()
        assert right in text
        with pytest.raises(ValueError, match=message):
            load_ui(text.replace(right, wrong))

    def test_a_missing_file_raises(self, slicer_app):
        import slicer

        with pytest.raises(RuntimeError, match="file not found"):
            slicer.util.loadUI("/no/such.ui")

    def test_connections_work_and_only_listed_receivers_get_the_scene(self, load_ui):
        import slicer

        text = UI.read_text()
        ui_widget = load_ui(text.replace("<receiver>outputSelector</receiver><slot>setMRMLScene", "<receiver>inputSelector</receiver><slot>setMRMLScene"))  # fmt: skip  # noqa: E501
        ui = slicer.util.childWidgetVariables(ui_widget)
        ui_widget.setMRMLScene(slicer.mrmlScene)
        assert ui.inputSelector.mrmlScene() is slicer.mrmlScene
        assert ui.outputSelector.mrmlScene() is None
        ui.noteLine.enabled = False
        ui.invertBox.click()
        assert ui.noteLine.enabled

    def test_a_forgotten_scene_connection_is_caught(self, slicer_app, tmp_path):
        module = tmp_path / "StandInExample.py"
        module.write_text(EXAMPLE.read_text())
        ui = tmp_path / "Resources" / "UI" / "StandInExample.ui"
        ui.parent.mkdir(parents=True)
        ui.write_text(UI.read_text().replace("<receiver>outputSelector</receiver>", "<receiver>inputSelector</receiver>"))
        with pytest.raises(AssertionError, match="outputSelector"):
            slicer_app.load_module(module)

    def test_widgets_are_what_the_file_says(self, widget):
        import ctk
        import qt
        import slicer

        assert type(widget.ui.inputSelector) is slicer.qMRMLNodeComboBox
        assert type(widget.ui.thresholdSlider) is ctk.ctkSliderWidget
        assert type(widget.ui.slicesBox) is qt.QSpinBox
        assert widget.ui.advancedButton.collapsed
        assert not widget.ui.noteLine.visible


class TestParameterNode:
    @pytest.fixture
    def parameters(self, widget):
        return widget._parameterNode

    def test_values_go_both_ways(self, widget, parameters):
        parameters.threshold = 7.5
        parameters.direction = type(parameters.direction).BELOW
        assert (widget.ui.thresholdSlider.value, widget.ui.directionBox.currentText) == (7.5, "BELOW")
        widget.ui.slicesBox.value = 5
        widget.ui.invertBox.click()
        assert (parameters.slices, parameters.invert) == (5, True)

    def test_enums_are_kept_by_name_and_nodes_as_references(self, parameters):
        volume = add_volume()
        parameters.direction = type(parameters.direction).BELOW
        parameters.inputVolume = volume
        node = parameters.parameterNode
        assert node.GetParameter("direction") == "BELOW"
        assert node.GetNodeReferenceID("inputVolume") == volume.GetID()

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("threshold", np.float32(5), TypeError),
            ("threshold", 5000.0, ValueError),
            ("threshold", None, ValueError),
            ("slices", 2.5, TypeError),
            ("slices", np.int64(2), TypeError),
            ("note", 5, TypeError),
            ("invert", 1, TypeError),
            ("direction", "ABOVE", TypeError),
            ("method", "unknown", ValueError),
            ("inputVolume", "vtkMRMLScalarVolumeNode1", TypeError),
            ("picks", ["a"], TypeError),
            ("best", "a", (TypeError, ValueError)),
        ],
    )
    def test_wrong_values_raise_and_change_nothing(self, parameters, name, value, error):
        before = getattr(parameters, name)
        with pytest.raises(error):
            setattr(parameters, name, value)
        assert getattr(parameters, name) == before

    def test_optional_values_and_lists(self, parameters):
        parameters.best = 4
        parameters.picks = [1]
        parameters.picks.append(2)
        assert (parameters.best, list(parameters.picks)) == (4, [1, 2])
        parameters.best = None
        parameters.picks = []
        assert (parameters.best, len(parameters.picks)) == (None, 0)

    def test_a_mistyped_attribute_is_accepted_in_silence_as_in_slicer(self, parameters):
        parameters.treshold = 5.0
        assert parameters.threshold == 100

    def test_a_mistyped_widget_property_raises(self, slicer_app, load_ui, widget, parameters):
        import slicer

        ui_widget = load_ui(UI.read_text().replace("<string>threshold</string>", "<string>treshold</string>"))
        with pytest.raises(ValueError, match="treshold"):
            parameters.connectGui(slicer.util.childWidgetVariables(ui_widget))

    def test_only_the_exact_widget_class_is_bound(self, parameters):
        import qt
        import slicer

        with pytest.raises(RuntimeError, match="GUI connector"):
            parameters.connectParametersToGui({"threshold": slicer.qMRMLSliderWidget()})
        with pytest.raises(RuntimeError, match="GUI connector"):
            parameters.connectParametersToGui({"threshold": qt.QSpinBox()})

    def test_the_annotation_sets_the_widgets_range(self, widget):
        assert (widget.ui.thresholdSlider.minimum, widget.ui.thresholdSlider.maximum) == (-1000, 3000)

    def test_one_event_for_changes_together(self, parameters):
        import slicer

        events = []
        parameters.AddObserver("ModifiedEvent", lambda *_: events.append(True))
        with slicer.util.NodeModify(parameters):
            parameters.threshold = 1.0
            parameters.note = "both"
        assert len(events) == 1

    def test_a_disconnected_panel_follows_no_more(self, widget, parameters):
        parameters.disconnectGui(widget._parameterNodeGuiTag)
        parameters.threshold = 1.0
        widget.ui.slicesBox.value = 9
        assert (widget.ui.thresholdSlider.value, parameters.slices) == (100, 3)

    def test_packs(self, slicer_app):
        import slicer
        from slicer.parameterNodeWrapper import parameterNodeWrapper, parameterPack

        namespace = {"parameterPack": parameterPack, "parameterNodeWrapper": parameterNodeWrapper}
        exec(compile(textwrap.dedent(PACK), "pack", "exec", dont_inherit=True), namespace)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        parameters = namespace["Parameters"](node)
        parameters.point.x = 5.0
        parameters.setValue("point.y", 6.0)
        again = namespace["Parameters"](node)
        assert (again.point.x, again.getValue("point.y")) == (5.0, 6.0)
        with pytest.raises(TypeError):
            again.point.x = "far"

    def test_types_that_slicer_cannot_keep_raise(self, slicer_app):
        from slicer.parameterNodeWrapper import parameterNodeWrapper

        with pytest.raises(TypeError, match="Unable to create serializer"):
            parameterNodeWrapper(type("Parameters", (), {"__annotations__": {"best": int | None}}))

    def test_parameters_survive_saving_closing_and_loading(self, slicer_app, widget, tmp_path):
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
        assert widget.ui.inputSelector.currentNode() is parameters.inputVolume


class TestScene:
    def test_closing_tells_its_observers(self, slicer_app):
        import slicer

        events = []
        for event in (slicer.mrmlScene.StartCloseEvent, slicer.mrmlScene.EndCloseEvent):
            slicer.mrmlScene.AddObserver(event, lambda _caller, name: events.append(name))
        add_volume()
        slicer_app.close_scene()
        assert len(events) == 2
        assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []

    def test_volumes_appear_in_the_subject_hierarchy(self, slicer_app):
        import slicer

        volume = add_volume()
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        item = hierarchy.GetItemByDataNode(volume)
        assert hierarchy.GetItemName(item) == "CT"
        slicer.mrmlScene.RemoveNode(volume)
        assert hierarchy.GetNumberOfItems() == 0

    def test_volumes_are_saved_loaded_and_shown(self, slicer_app, tmp_path):
        import slicer

        volume = add_volume()
        path = tmp_path / "Küche" / "ct.nrrd"
        path.parent.mkdir()
        assert slicer.util.saveNode(volume, str(path))
        loaded = slicer.util.loadVolume(path, {"name": "loaded"})
        assert np.array_equal(slicer.util.arrayFromVolume(loaded), slicer.util.arrayFromVolume(volume))
        for name in ("Red", "Green", "Yellow"):
            composite = slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode()
            assert composite.GetBackgroundVolumeID() == loaded.GetID()
        with pytest.raises(RuntimeError, match="Failed to load"):
            slicer.util.loadVolume(tmp_path / "missing.nrrd", {})
        with pytest.raises(AttributeError, match="centre"):
            slicer.util.loadVolume(path, {"centre": True})

    def test_slice_views_have_real_logics(self, slicer_app):
        import slicer

        volume = add_volume()
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        widget = slicer.app.layoutManager().sliceWidget("Red")
        widget.sliceLogic().SetSliceOffset(2.0)
        assert widget.sliceLogic().GetSliceIndexFromOffset(2.0, volume) == 3
        assert widget.mrmlSliceNode().GetID() == "vtkMRMLSliceNodeRed"
        assert slicer.app.applicationLogic().GetSliceLogicByLayoutName("Red") is widget.sliceLogic()

    def test_a_layout_of_ones_own(self, slicer_app):
        import slicer

        manager, changes = slicer.app.layoutManager(), []
        manager.connect("layoutChanged(int)", changes.append)
        view = '<item><view class="vtkMRMLSliceNode" singletontag="{}"><property name="orientation" action="default">Axial</property></view></item>'  # noqa: E501
        layout_node = manager.layoutLogic().GetLayoutNode()
        layout_node.AddLayoutDescription(990, f'<layout type="horizontal">{view.format("Red")}{view.format("Noise")}</layout>')
        manager.setLayout(990)
        assert manager.layout == 990
        assert changes == [990]
        noise = manager.sliceWidget("Noise")
        noise.mrmlSliceCompositeNode().SetBackgroundVolumeID(add_volume().GetID())
        noise.sliceLogic().FitSliceToBackground()
        assert "Noise" in manager.sliceViewNames()
        assert manager.sliceWidget("Nose") is None
        with pytest.raises(ValueError, match="no layout 991"):
            manager.setLayout(991)

    def test_the_browser_of_a_sequence_is_found_for_its_proxy(self, slicer_app):
        import slicer

        sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D")
        volume = add_volume()
        for index in range(3):
            sequence.SetDataNodeAtValue(volume, str(index))
        browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode")
        browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
        logic = slicer.modules.sequences.logic()
        logic.UpdateAllProxyNodes()
        proxy = browser.GetProxyNode(sequence)
        assert logic.GetFirstBrowserNodeForProxyNode(proxy) is browser
        assert browser.GetNumberOfItems() == 3

    def test_regions_of_interest(self, slicer_app):
        import slicer

        roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
        roi.CreateDefaultDisplayNodes()
        roi.SetCenter(1, 2, 3)
        roi.SetSize(4, 5, 6)
        bounds = [0.0] * 6
        roi.GetRASBounds(bounds)
        assert bounds == [-1, 3, -0.5, 4.5, 0, 6]


class TestSession:
    def test_apply_computes_and_shows(self, slicer_app, widget):
        import slicer

        assert not widget.ui.applyButton.enabled
        add_volume()
        assert widget.ui.applyButton.enabled
        widget.ui.applyButton.click()
        assert widget.ui.resultLabel.text == "Done: Thresholded"
        red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
        assert red.GetBackgroundVolumeID() == slicer.util.getNode("Thresholded").GetID()

    def test_a_failing_apply_shows_its_error(self, slicer_app, widget):
        add_volume()
        widget.ui.thresholdSlider.value = 2999
        with slicer_app.expected_exceptions() as exceptions:
            widget.ui.applyButton.click()
        assert [str(error) for error in exceptions] == ["Nothing is above the threshold."]
        assert "Nothing is above" in slicer_app.messages.texts("error")[0]

    def test_a_reload_replaces_the_panel(self, slicer_app, entry, widget):
        import slicer

        cleanups = []
        plain = widget.cleanup
        widget.cleanup = lambda: (cleanups.append(True), plain())
        widget.ui.slicesBox.value = 8
        slicer_app.reload_module(entry)
        new = entry.widgetRepresentation().self()
        assert new is not widget
        assert slicer.modules.StandInExampleWidget is new
        assert cleanups == [True]
        assert new.ui.slicesBox.value == 8
        assert slicer.util.getModuleWidget("StandInExample") is new

    def test_quitting_tells_the_application_and_cleans_up(self, slicer_app, widget):
        import slicer

        calls = []
        slicer.app.connect("aboutToQuit()", lambda: calls.append("quit"))
        plain = widget.cleanup
        widget.cleanup = lambda: (calls.append("cleanup"), plain())
        slicer_app.quit()
        assert calls == ["quit", "cleanup"]
        with pytest.raises(AttributeError):
            _ = slicer.modules.standinexample

    def test_self_tests_run_as_reload_and_test_runs_them(self, slicer_app, entry):
        import slicer

        slicer.selfTests["StandInExample"](msec=1)
        assert slicer_app.messages.texts("delay") == ["A test ran"]

    def test_every_callable_with_test_in_its_name_runs(self, slicer_app):
        from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

        runs = []

        class Tests(ScriptedLoadableModuleTest):
            def test_one(self):
                runs.append("test_one")

            def latestVolume(self):  # noqa: N802
                runs.append("latestVolume")

        Tests().runTest()
        assert sorted(runs) == ["latestVolume", "test_one"]

    @pytest.mark.parametrize("name", ["mainWindow", "slicerVersion", "openUrl"])
    def test_unknown_attributes_of_the_application_raise(self, slicer_app, name):
        import slicer

        with pytest.raises(AttributeError):
            getattr(slicer.app, name)

    def test_unknown_modules_raise(self, slicer_app):
        import slicer

        with pytest.raises(AttributeError, match="cropvolume"):
            _ = slicer.modules.cropvolume
        with pytest.raises(AttributeError):
            _ = slicer.getNode

    def test_the_modules_parent_knows_its_properties(self, entry):
        assert entry.title == "Stand-in example"
        with pytest.raises(AttributeError, match="no property"):
            entry.titel = "mistyped"
        with pytest.raises(TypeError):
            entry.categories = "Filtering"

    def test_no_main_window(self, slicer_app):
        import slicer

        assert slicer.util.mainWindow() is None

    def test_settings_last_until_the_reset(self, slicer_app):
        import qt
        import slicer

        qt.QSettings().setValue("Example/folder", "/data")
        assert slicer.util.settingsValue("Example/folder", "") == "/data"
        slicer_app.reset()
        assert slicer.util.settingsValue("Example/folder", "") == ""

    def test_a_reset_leaves_nothing(self, slicer_app, entry):
        import slicer

        add_volume()
        slicer.util.infoDisplay("seen")
        slicer_app.messages.answer(True)
        slicer_app.reset()
        assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
        assert (list(slicer_app.messages), slicer_app.messages.unused_answers, slicer_app.loaded) == ([], [], [])
        assert "StandInExample" not in sys.modules

    def test_waiting_in_vain_says_for_what(self, slicer_app):
        with pytest.raises(TimeoutError, match="the end of time"):
            slicer_app.wait_until(lambda: False, 0.05, "the end of time")

    @pytest.mark.parametrize("scale", [1.0, 1.5])
    def test_pictures(self, slicer_app, entry, tmp_path, scale):
        from PIL import Image

        path = slicer_app.grab(entry.widgetRepresentation(), tmp_path / "panel.png", width=350, scale=scale)
        picture = np.asarray(Image.open(path).convert("L"))
        assert picture.shape[1] == 350 * scale
        assert picture.min() < 80, "no text was drawn: is there a font?"

    def test_texts_are_strings(self, slicer_app):
        from slicer.i18n import tr, translate

        assert tr("{count} slices").format(count=3) == "3 slices"
        assert translate("qSlicerAbstractCoreModule", "Filtering") == "Filtering"
        with pytest.raises(TypeError):
            tr(5)


class TestInstalls:
    def test_missing_packages_are_asked_for_and_installed(self, slicer_app):
        import slicer.packaging

        slicer_app.installs.absent = {"safetensors"}
        slicer_app.messages.answer(True)
        slicer.packaging.pip_ensure(["safetensors>=0.4", "numpy"], requester="Example")
        assert slicer_app.installs.commands == ["safetensors>=0.4"]
        assert slicer_app.messages[0].title == "Example - Install Python Packages"
        assert slicer.packaging.pip_check("safetensors>=0.4")

    def test_declining_and_failing(self, slicer_app):
        import slicer.packaging

        slicer_app.installs.absent = {"safetensors"}
        slicer_app.messages.answer(False, True)
        with pytest.raises(RuntimeError, match="declined"):
            slicer.packaging.pip_ensure("safetensors>=0.4")
        slicer_app.installs.fail = True
        with pytest.raises(subprocess.CalledProcessError):
            slicer.packaging.pip_ensure("safetensors>=0.4")
        assert slicer_app.messages.texts("error") == ["Package installation failed."]

    def test_nothing_is_installed_in_testing_mode(self, slicer_app):
        import slicer.packaging

        slicer_app.set_testing_mode(True)
        slicer_app.installs.absent = {"safetensors"}
        slicer.packaging.pip_ensure("safetensors>=0.4")
        assert slicer_app.installs.commands == []

    def test_requirements_files(self, slicer_app, tmp_path):
        import slicer.packaging

        path = tmp_path / "requirements.txt"
        path.write_text("# comment\n\n-r other.txt\nsafetensors>=0.4\n")
        assert [str(requirement) for requirement in slicer.packaging.load_requirements(path)] == ["safetensors>=0.4"]

    def test_slicer_5_10_has_no_packaging(self, slicer_app):
        import importlib

        import slicer

        slicer_app.set_version(5, 10)
        assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 10)
        with pytest.raises(ImportError):
            importlib.import_module("slicer.packaging")
        assert not hasattr(slicer, "packaging")
        slicer.util.pip_install("safetensors")
        slicer_app.installs.fail = True
        with pytest.raises(subprocess.CalledProcessError):
            slicer.util.pip_install("tqdm")
        assert slicer_app.installs.commands == ["safetensors", "tqdm"]

    def test_the_pytorch_extension_may_be_missing(self, slicer_app):
        import importlib

        slicer_app.set_pytorch_extension(False)
        with pytest.raises(ImportError):
            importlib.import_module("PyTorchUtils")

    def test_torch_is_installed_on_consent(self, slicer_app):
        import PyTorchUtils

        logic = PyTorchUtils.PyTorchUtilsLogic()
        slicer_app.messages.answer(False, True)
        assert logic.installTorch(askConfirmation=True) is None
        assert logic.installTorch(askConfirmation=True, forceComputationBackend="cpu") is not None
        assert [call["forceComputationBackend"] for call in slicer_app.installs.torch] == ["cpu"]

    def test_sample_data_is_registered_and_made_but_not_downloaded(self, slicer_app, entry):
        import SampleData
        import slicer

        (source,) = slicer.modules.sampleDataSources["StandInExample"]
        assert source.customDownloader(source).GetName() == "Example"
        for name in ("Example", "CTChest"):
            with pytest.raises(IndexError):  # as Slicer's own code meets it
                SampleData.SampleDataLogic().downloadSample(name)
        with pytest.raises(TypeError, match="empty ones"):
            SampleData.SampleDataLogic.registerCustomSampleDataSource(sampleName="No lists", customDownloader=print)
        with pytest.raises(AttributeError, match="no network"):
            SampleData.SampleDataLogic().downloadFromURL(uris="https://example.org/ct.nrrd", fileNames="ct.nrrd")
