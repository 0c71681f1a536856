"""How far a run is, in words: slices done, speed, time left."""

from __future__ import annotations

import time

from slicer.i18n import tr as _


class Progress:
    """Measures the speed from the first slice on, so that loading the model does not count.

    Attributes:
        device: a sentence about where it is computed, shown with the rest.
    """

    def __init__(self) -> None:
        self.device = ""
        self._first: tuple[float, int] | None = None

    def start(self) -> None:
        """Forget the last run."""
        self._first = None
        self.device = ""

    def text(self, done: int, total: int) -> str:
        """Slices done, the time left where it can be estimated, and the device."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        since, before = self._first
        told = _("{done} of {total} slices").format(done=done, total=total)
        if done > before and now > since:
            speed = (done - before) / (now - since)
            told = _("{told}, {speed} slices/s, {left} left").format(
                told=told, speed=f"{speed:.1f}", left=_duration((total - done) / speed)
            )
        return f"{told}. {self.device}".strip()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes:
        return _("{minutes} min {seconds} s").format(minutes=minutes, seconds=rest)
    return _("{seconds} s").format(seconds=rest)
