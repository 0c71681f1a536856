"""A stand-in of the Slicer application for tests; see README.md. Nothing is imported until ``start_application()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .application import Application


def start_application() -> Application:
    """The application of this process, started on the first call."""
    import os

    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from .application import start_application as start

    return start()
