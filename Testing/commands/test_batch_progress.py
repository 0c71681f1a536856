"""The line that tells how far a batch is."""

from __future__ import annotations

import pytest

from LDCTDenoiseLib.commands import batch_progress
from LDCTDenoiseLib.commands.batch_progress import BatchProgress


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (30.0, "Batch: 2 of 1000 done, 1 failed, 2 per minute, 8.3 h left"),
        (0.04, "Batch: 2 of 1000 done, 1 failed, 1500 per minute, 0.7 min left"),
        (1.4, "Batch: 2 of 1000 done, 1 failed, 42.9 per minute, 23.3 min left"),
    ],
)
def test_the_line_tells_counts_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, seconds: float, line: str) -> None:
    times = iter([100.0, 100.0 + seconds, 100.0 + 2 * seconds])
    progress = BatchProgress(1000, quiet=True)
    monkeypatch.setattr(batch_progress.time, "monotonic", lambda: next(times))
    for failed in (False, True, False):
        progress.add(failed=failed)
    assert progress.line() == line


def test_long_series_have_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than half of the window each."""
    times = iter([200.0 * number for number in range(5)])
    progress = BatchProgress(100, quiet=True)
    monkeypatch.setattr(batch_progress.time, "monotonic", lambda: next(times))
    for _ in range(5):
        progress.add(failed=False)
    assert progress.line() == "Batch: 5 of 100 done, 0 failed, 0.3 per minute, 5.3 h left"


def test_two_items_promise_no_rate() -> None:
    """One that fails at once, while others are computed, would tell thousands a minute."""
    progress = BatchProgress(4, quiet=True)
    progress.add(failed=False)
    progress.add(failed=True)
    assert progress.line() == "Batch: 1 of 4 done, 1 failed"
