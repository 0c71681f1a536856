"""Which series wait to be looked at: kept on the disk, so that a script that is killed goes on where it was."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.system.files import replace_when_complete

FIRST_PAUSE_SECONDS = 10
LONGEST_PAUSE_SECONDS = 3600


@dataclass
class Waiting:
    """A result that Orthanc did not take.

    Attributes:
        result: name of its folder.
        refusals: how often.
        until: when to try again, in seconds since 1970.
    """

    result: str
    refusals: int = 0
    until: float = 0.0


class Todo:
    """The state of the script, written whole or not at all after every change.

    Attributes:
        last_change: number of the last of Orthanc's changes that was taken note of.
        tries: how often each waiting series was begun to be denoised, by Orthanc's identifier, the longest waiting first.
        results: those of the waiting series that are denoised and not stored yet.

    Raises:
        InputError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last_change = 0
        self.tries: dict[str, int] = {}
        self.results: dict[str, Waiting] = {}
        if path.exists():
            try:
                state = json.loads(path.read_text(encoding="utf-8"))
                self.last_change, self.tries = int(state["last_change"]), dict(state["tries"])
                self.results = {series: Waiting(**told) for series, told in state.get("results", {}).items()}
            except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                raise InputError(f"{path} cannot be read; remove it, and every series is looked at again.") from error

    def note(self, series: list[str], last_change: int) -> None:
        """Take note of series of which there is news."""
        for one in series:
            self.tries.setdefault(one, 0)
        self.last_change = last_change
        self._save()

    def begin(self, series: str) -> None:
        """Count a try before it is made: what kills the script must not do so forever."""
        self.tries[series] += 1
        self._save()

    def take_back(self, series: str) -> None:
        """Not count the last try of a series."""
        self.tries[series] -= 1
        self._save()

    def postpone(self, series: str) -> None:
        """Put a series behind the others."""
        self.tries[series] = self.tries.pop(series)
        self._save()

    def keep(self, series: str, result: str) -> None:
        """A result is there, to be stored until all of it is: no try of computing it counts any more."""
        self.tries[series] = 0
        self.results.setdefault(series, Waiting(result)).result = result
        self._save()

    def wait(self, series: str) -> int:
        """Try a result again later; in how many seconds."""
        waiting = self.results[series]
        pause = min(FIRST_PAUSE_SECONDS * 2 ** min(waiting.refusals, 20), LONGEST_PAUSE_SECONDS)
        waiting.refusals += 1
        waiting.until = time.time() + pause
        self.postpone(series)
        return pause

    def waits(self, series: str) -> bool:
        """Whether it is too early to try a result again."""
        return series in self.results and 0 < self.results[series].until - time.time() <= LONGEST_PAUSE_SECONDS

    def end(self, series: str) -> None:
        """Forget a series."""
        del self.tries[series]
        self.results.pop(series, None)
        self._save()

    def _save(self) -> None:
        results = {series: asdict(waiting) for series, waiting in self.results.items()}
        state = {"last_change": self.last_change, "tries": self.tries, "results": results}
        with replace_when_complete(self._path) as temporary:
            temporary.write_text(json.dumps(state), encoding="utf-8")
