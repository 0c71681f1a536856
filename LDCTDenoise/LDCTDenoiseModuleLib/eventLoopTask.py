"""A long task cut into short turns of Slicer's event loop, so that the window stays alive."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import qt

from LDCTDenoiseLib.errors import DenoisingCancelled

Steps = Generator[Any, None, Any]
"""A task: yields None where it may be interrupted and ``WAIT`` where it waits; what it returns is its result."""
TURN_S = 0.03
WAIT = "wait"
"""Yielded by a task that waits for something outside: its next turn comes after some milliseconds, not at once."""
_WAIT_MS = 20
_ended: deque[qt.QTimer] = deque(maxlen=16)
"""Timers of tasks that ended: a QTimer must not be destroyed within its own signal, where a task ends."""


class EventLoopTask:
    """Runs a generator turn by turn.

    The generator yields None where it may be interrupted and ``WAIT`` where it waits; its return value is the result.
    Cleaning up belongs into its ``finally`` blocks: they run however the task ends.

    Args:
        steps: the generator.
        finished: called with the generator's return value.
        failed: called with the exception that ended it.
    """

    def __init__(self, steps: Steps, finished: Callable[[Any], Any], failed: Callable[[Exception], Any]) -> None:
        self._steps = steps
        self._finished = finished
        self._failed = failed
        self._cancelled = False
        self._loop: qt.QEventLoop | None = None
        self.running = True
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", self._turn)
        self._timer.start(0)

    def cancel(self) -> None:
        """Raise ``DenoisingCancelled`` within the generator at its next turn."""
        self._cancelled = True

    def abort(self) -> None:
        """End the generator now, without calling anyone: the application goes down or the module is reloaded."""
        if self.running:
            self._stop()
            self._steps.close()

    def wait(self) -> None:
        """Keep the window alive until the task has ended; when the application quits meanwhile, the task is aborted."""
        if not self.running:
            return
        self._loop = qt.QEventLoop()
        self._loop.exec_()  # quitting ends it, which a loop of processEvents would not notice
        self._loop = None
        self.abort()

    def _stop(self) -> None:
        self.running = False
        if self._loop is not None:
            self._loop.quit()
        self._timer.stop()
        _ended.append(self._timer)

    def _turn(self) -> None:
        end = time.monotonic() + TURN_S
        try:
            while True:
                if self._cancelled:
                    self._cancelled = False
                    step = self._steps.throw(DenoisingCancelled("Denoising was cancelled; nothing was changed."))
                else:
                    step = next(self._steps)
                if not self.running:  # the step itself led to abort()
                    return
                if step is WAIT or time.monotonic() > end:
                    self._timer.start(_WAIT_MS if step is WAIT else 0)
                    return
        except StopIteration as end_of_steps:
            self._end(self._finished, end_of_steps.value)
        except Exception as error:  # whatever it is, the panel must hear of it
            self._end(self._failed, error)

    def _end(self, callback: Callable[..., Any], value: Any) -> None:
        if self.running:
            self._stop()
            callback(value)
