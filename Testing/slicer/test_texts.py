"""What a user reads: every widget explains itself, every text can be translated, every MRML widget gets the scene."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from Testing.slicer.slicer_panel import MODULE, Panel

UI = ElementTree.parse(MODULE.parent / "Resources" / "UI" / "LDCTDenoise.ui")
SOURCES = sorted(MODULE.parent.rglob("*.py"))
_SAYS = {"InputError", "LDCTDenoiseError", "WorkerError", "say", "_end", "setText", "setToolTip",
         "addItem", "insertItem", "skipTest", "delayDisplay", "confirmOkCancelDisplay", "errorDisplay", "infoDisplay",
         "warningDisplay", "getOpenFileName", "getExistingDirectory", "SetName"}  # fmt: skip
_TEXT_PROPERTIES = {"text", "toolTip", "title", "helpText", "acknowledgementText", "placeholderText", "windowTitle"}


def test_every_widget_of_the_panel_has_a_tooltip(panel: Panel) -> None:
    import qt

    kinds = (qt.QAbstractButton, qt.QComboBox, qt.QAbstractSpinBox, qt.QProgressBar, qt.QPlainTextEdit)
    bare = []
    for name, widget in vars(panel.ui).items():
        explains = (
            isinstance(widget, kinds) or type(widget).__name__ in ("qMRMLNodeComboBox", "ctkSliderWidget") or "Info" in name
        )
        if explains and not widget.toolTip:
            bare.append(name)
    labelled = [
        name for name, widget in vars(panel.ui).items() if widget.className() == "QLabel" and widget.text and not widget.toolTip
    ]
    assert bare == []
    assert labelled == []


def test_every_mrml_widget_is_connected_to_the_scene() -> None:
    mrml = {widget.get("name") for widget in UI.iter("widget") if widget.get("class", "").startswith("qMRML")} - {"LDCTDenoise"}
    connected = {
        connection.findtext("receiver")
        for connection in UI.iter("connection")
        if connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
        and connection.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
        and connection.findtext("sender") == "LDCTDenoise"
    }
    assert mrml
    assert connected == mrml


def test_every_bound_widget_names_a_parameter(panel: Panel) -> None:
    bound = {
        prop.findtext("string")
        for prop in UI.iter("property")
        if prop.get("name") == "SlicerParameterName" and prop.get("stdset") == "0"
    }
    parameters = set(panel.parameters.allParameters)
    assert bound <= parameters
    # The others are shown by combo boxes that the panel fills itself.
    assert parameters - bound == {"model", "region", "device", "precision", "noiseMap"}


def test_texts_of_the_ui_file_are_translatable_and_only_they() -> None:
    for prop in UI.iter("property"):
        if prop.get("name") in ("text", "toolTip", "noneDisplay", "specialValueText"):
            string = prop.find("string")
            assert string is not None
            assert string.get("notr") != "true", ElementTree.tostring(prop)


def bare_texts(path: Path) -> list[str]:
    """Texts that a user sees and no translator: literals and f-strings given to what shows or raises them."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        shown: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            if any(isinstance(target, ast.Attribute) and target.attr in _TEXT_PROPERTIES for target in node.targets):
                shown = [node.value]
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in _SAYS:
                shown = node.args[:2]
        found += [f"{path.name}:{part.lineno}: {ast.unparse(part)}" for value in shown for part in untranslated(value)]
    return found


def untranslated(value: ast.expr) -> list[ast.expr]:
    """Texts with words in an expression that do not go through ``_()``."""
    if isinstance(value, ast.Call) and getattr(value.func, "id", "") in ("_", "translate"):
        return []
    if isinstance(value, ast.Constant):
        has_words = isinstance(value.value, str) and " " in value.value.strip()
        return [value] if has_words else []
    if isinstance(value, ast.JoinedStr):
        return [value] if any(isinstance(part, ast.Constant) and " " in str(part.value).strip() for part in value.values) else []
    if isinstance(value, ast.Call):  # "...".format(...)
        return untranslated(value.func.value) if isinstance(value.func, ast.Attribute) else []
    return [text for part in ast.iter_child_nodes(value) if isinstance(part, ast.expr) for text in untranslated(part)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_text_of_the_code_goes_through_the_translator(path: Path) -> None:
    assert bare_texts(path) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_translator_gets_plain_literals(path: Path) -> None:
    """lupdate reads the sources: an f-string or a sum within ``_()`` would never be found there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_":
            assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}: {ast.unparse(node)}"


def test_the_check_for_bare_texts_finds_some(tmp_path: Path) -> None:
    source = tmp_path / "example.py"
    source.write_text(
        'label.text = "Two words"\nself.say(f"Sum {x} of all")\nraise InputError("No volume")\nself.say(_("Fine here"))\n'
    )
    assert len(bare_texts(source)) == 3
