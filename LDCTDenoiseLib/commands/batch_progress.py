"""One line of progress for a batch: done, failed, per minute, time left."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from types import TracebackType

from ..errors import printable

_WINDOW_SECONDS = 300
_ENDS_KEPT = 1000
_ENDS_NEEDED = 3  # one that fails at once beside one that was computed would promise thousands a minute
_LOOK_SECONDS = 0.2


class BatchProgress:
    """The line on stderr, and above it what is remarked.

    Args:
        total: how many items there are.
        quiet: say nothing.
    """

    def __init__(self, total: int, *, quiet: bool) -> None:
        from tqdm import tqdm

        self._total = total
        self._done = self._failed = 0
        self._ends: deque[float] = deque(maxlen=_ENDS_KEPT)
        self._bar = tqdm(total=total, bar_format="{desc}", disable=quiet, file=sys.stderr)
        self._slices, self._told = "", 0.0
        self._show()

    def add(self, *, failed: bool, remark: str = "") -> None:
        """An item has ended."""
        self._done += not failed
        self._failed += failed
        self._ends.append(time.monotonic())
        if remark and not self._bar.disable:
            self._bar.write(printable(remark), file=sys.stderr)
        self._show()
        self._bar.update()

    def tell_slices(self, output: Path, done: int, total: int) -> None:
        """So many slices of the item that is computed are done; called in the thread that computes."""
        now = time.monotonic()
        if done == total or now - self._told > _LOOK_SECONDS:
            self._told, self._slices = now, "" if done == total else f"; {output}: {done} of {total} slices"
            self._bar.set_description_str(printable(self.line()))

    def _show(self) -> None:
        self._bar.set_description_str(self.line(), refresh=False)

    def line(self) -> str:
        """What is told now."""
        return f"{self._counts()}{self._slices}"

    def _counts(self) -> str:
        told = f"Batch: {self._done} of {self._total} done, {self._failed} failed"
        while len(self._ends) > _ENDS_NEEDED and self._ends[0] < self._ends[-1] - _WINDOW_SECONDS:
            self._ends.popleft()
        if len(self._ends) < _ENDS_NEEDED or self._ends[-1] == self._ends[0]:
            return told
        seconds = self._ends[-1] - self._ends[0]
        per_minute = (len(self._ends) - 1) / seconds * 60
        left = (self._total - self._done - self._failed) / per_minute
        rate = f"{per_minute:.0f}" if per_minute >= 100 else f"{per_minute:.3g}"
        return f"{told}, {rate} per minute, {_minutes(left)} left"

    def __enter__(self) -> BatchProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.refresh()
        self._bar.close()


def _minutes(minutes: float) -> str:
    if minutes < 100:
        return f"{minutes:.1f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 60 / 24:.1f} days"
