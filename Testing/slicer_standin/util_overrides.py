"""The few functions of the real ``slicer.util`` that need a person or a window."""

from __future__ import annotations

import logging
from typing import Any

import slicer

from .messages import messages
from .pythonqt.dialogs import choose

_KINDS = {logging.ERROR: "error", logging.WARNING: "warning", logging.INFO: "info"}


def install() -> None:
    slicer.util._messageDisplay = _message_display
    slicer.util.messageBox = message_box
    slicer.util.delayDisplay = delay_display


def _message_display(
    log_level: int,
    text: str,
    testing_return_value: Any,
    mainWindowNeeded: bool = False,
    parent: Any = None,
    windowTitle: str | None = None,
    standardButtons: Any = None,
    detailedText: str = "",
    **_appearance: Any,
) -> Any:
    """All popups of errorDisplay, warningDisplay, infoDisplay and the confirm functions come through here."""
    logging.log(log_level, text)
    question = not mainWindowNeeded
    messages.show("question" if question else _KINDS[log_level], text, windowTitle or "", detailedText)
    if slicer.app.testingEnabled():
        return testing_return_value
    return choose(messages.take_answer(), standardButtons) if question else None


def message_box(text: str, parent: Any = None, windowTitle: str = "", **options: Any) -> Any:
    import qt

    messages.show("info", text, windowTitle, options.get("detailedText", ""))
    buttons = options.get("standardButtons", qt.QMessageBox.Ok)
    several = bin(buttons.value).count("1") > 1
    return choose(messages.take_answer(), buttons) if several and not slicer.app.testingEnabled() else qt.QMessageBox.Ok


def delay_display(message: str, autoCloseMsec: int = 1000, parent: Any = None, **_options: Any) -> None:
    """Recorded; waits not at all, but lets the application work as the popup does."""
    logging.info(message)
    messages.show("delay", message)
    slicer.app.processEvents()
