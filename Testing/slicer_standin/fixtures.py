"""Fixtures of the stand-in, which Testing/conftest.py imports."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .application import Application


def reason_to_skip() -> str:
    """Why the stand-in cannot start on this machine, or nothing."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if sys.version_info[:2] != (3, 11):
        return "the Slicer stand-in needs Python 3.11 (slicer-core 5.12.4.0 has no other wheels)"
    for library, package in (("slicer_core", "slicer-core"), ("PySide6.QtWidgets", "PySide6-Essentials")):
        try:
            importlib.import_module(library)
        except ImportError as error:
            return f"the Slicer stand-in needs {package} and the system libraries of Qt (make test installs them): {error}"
    return ""


@pytest.fixture
def slicer_app() -> Iterator[Application]:
    """A fresh session of the stand-in. Exceptions of slots and observers, which Slicer only prints, fail the test."""
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)
    from . import start_application

    application = start_application()
    application.reset()
    yield application
    application.unload_modules()
    exceptions = list(application.exceptions)
    application.reset()
    assert not exceptions, f"exceptions in slots or observers: {exceptions}"
