"""The progress of a sample that is being made, in a dialog with a Cancel button."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from .eventLoopTask import EventLoopTask, Steps
from .waiting import outcomeOf


class SampleProgress:
    """Shows how far a sample is.

    Args:
        name: of the sample.
    """

    def __init__(self, name: str) -> None:
        self._task: EventLoopTask | None = None
        self._dialog = slicer.util.createProgressDialog(
            labelText=_("Making {name}...").format(name=name), windowTitle=_("LDCT Denoise"), maximum=0
        )
        self._dialog.connect("canceled()", self._onCancelled)
        self._dialog.show()  # a busy bar, whose maximum is 0, does not show itself

    def run(self, steps: Steps) -> Any:
        """Run the steps to their end; return their result or raise their error, ``DenoisingCancelled`` after Cancel."""
        outcome: list[Any] = []
        self._task = EventLoopTask(steps, outcome.append, outcome.append)
        try:
            return outcomeOf(self._task, outcome)
        finally:
            self._dialog.disconnect("canceled()", self._onCancelled)
            self._dialog.close()
            self._dialog.deleteLater()

    def tell(self, done: int, total: int) -> None:
        """Some slices are done."""
        self._dialog.maximum = total
        if done < total:  # at its maximum the dialog closes itself
            self._dialog.value = done

    def _onCancelled(self, *_args: Any) -> None:
        if self._task is not None:
            self._task.cancel()
