"""Which series wait to be looked at: kept on the disk, so that a script that is killed goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.system.files import replace_when_complete


class Todo:
    """The state of the script, written whole or not at all after every change.

    Attributes:
        last_change: number of the last of Orthanc's changes that was taken note of.
        tries: how often each waiting series was begun, by Orthanc's identifier, the longest waiting first.

    Raises:
        InputError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last_change = 0
        self.tries: dict[str, int] = {}
        if path.exists():
            try:
                state = json.loads(path.read_text(encoding="utf-8"))
                self.last_change, self.tries = int(state["last_change"]), dict(state["tries"])
            except (OSError, ValueError, LookupError, TypeError) as error:
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

    def end(self, series: str) -> None:
        """Forget a series."""
        del self.tries[series]
        self._save()

    def _save(self) -> None:
        with replace_when_complete(self._path) as temporary:
            temporary.write_text(json.dumps({"last_change": self.last_change, "tries": self.tries}), encoding="utf-8")
