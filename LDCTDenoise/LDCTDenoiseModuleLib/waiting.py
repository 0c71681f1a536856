"""Waiting for something that runs on the event loop, with the window alive."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import DenoisingCancelled

from .eventLoopTask import EventLoopTask


def outcomeOf(running: Any, outcome: list[Any]) -> Any:
    """Keep the window alive until something has ended; return its result or raise its error."""
    running.wait()
    if not outcome:
        raise DenoisingCancelled(_("The computation was stopped; nothing was changed."))
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def runSteps(steps: Generator[Any, None, Any]) -> Any:
    """Run the steps of a task to their end; return their result or raise their error."""
    outcome: list[Any] = []
    return outcomeOf(EventLoopTask(steps, outcome.append, outcome.append), outcome)
