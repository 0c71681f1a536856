"""What a batch tells at its end: every item of a short list, the failed ones of a long list."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .remedies import with_remedy

if TYPE_CHECKING:
    from ..denoising.batch.attempt import Outcome
    from ..denoising.batch.items import Items

_TOLD = 10_000
"""Items that a summary tells one by one; a longer one would fill the memory, and nobody would read it."""


def reason(outcome: Outcome) -> str:
    """Why an item failed, and what to do; "" when it did not."""
    return with_remedy(outcome.reason, outcome.code) if outcome.code else outcome.reason


class Summary:
    """Counts outcomes, and keeps those that are told.

    Args:
        items: the list, whose order the summary has.
    """

    def __init__(self, items: Items) -> None:
        self._only_failed = len(items) > _TOLD
        self._order = {} if self._only_failed else {item.output: number for number, item in enumerate(items)}
        self._counts: Counter[str] = Counter()
        self._kept: list[Outcome] = []
        self.failed = 0

    @property
    def count(self) -> int:
        """Items that have ended."""
        return self._counts.total()

    def add(self, outcome: Outcome) -> None:
        """An item has ended."""
        self._counts[outcome.status.value] += 1
        self.failed += outcome.code is not None
        if (outcome.code is not None or not self._only_failed) and len(self._kept) < _TOLD:
            self._kept.append(outcome)

    def as_json(self) -> dict[str, object]:
        """Counts, and what became of each item that is told."""
        series = [
            {
                "input": str(outcome.item.place),
                "output": str(outcome.item.output),
                "status": outcome.status.value,
                "reason": reason(outcome),
                "slices": outcome.slices,
                "seconds": round(outcome.seconds, 3),
                "warnings": list(outcome.warnings),
            }
            for outcome in self._told()
        ]
        return {"counts": dict(self._counts), "series": series}

    def table(self) -> list[str]:
        """Lines of text: a line for each item that is told, and the counts."""
        told = self._told()
        width = max((len(str(outcome.item.output)) for outcome in told), default=0)
        status_width = max((len(outcome.status.value) for outcome in told), default=0)
        lines = []
        for outcome in told:
            remarks = " ".join(filter(None, [reason(outcome), *outcome.warnings]))
            line = f"{outcome.item.output!s:{width}}  {outcome.status.value:{status_width}}"
            lines.append(f"{line}  {outcome.slices:5d} slices  {outcome.seconds:7.1f} s  {remarks}".rstrip())
        counts = ", ".join(f"{count} {status}" for status, count in self._counts.items())
        return [*lines, counts or "Nothing to do in this shard."]

    def _told(self) -> list[Outcome]:
        return sorted(self._kept, key=lambda outcome: self._order.get(outcome.item.output, 0))
