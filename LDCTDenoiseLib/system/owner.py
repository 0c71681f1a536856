"""The process that made a temporary file, and whether it still runs: a process number alone is reused."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes:
        pid: its number.
        started: when it started, in ticks since the boot; "" where the system does not say.
        boot: identifier of the boot; "" where the system has none.
        pid_space: the namespace that the number belongs to, one for each container; "" where there is none.
    """

    pid: int
    started: str
    boot: str
    pid_space: str

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls(os.getpid(), _started(os.getpid()), _boot(), _pid_space())

    @classmethod
    def from_json(cls, told: Any) -> Owner:
        """What :meth:`as_json` gave.

        Raises:
            ValueError: it is something else.
        """
        if not isinstance(told, dict) or told.keys() != {"pid", "started", "boot", "pid_space"}:
            raise ValueError("no owner")
        pid, *texts = (told[key] for key in ("pid", "started", "boot", "pid_space"))
        if type(pid) is not int or pid <= 0 or not all(isinstance(text, str) for text in texts):
            raise ValueError("no owner")
        return cls(pid, *texts)

    def as_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return asdict(self)

    @property
    def of_this_boot(self) -> bool:
        """Whether it runs, or ran, under this system since it was started."""
        return bool(self.boot) and self.boot == _boot()

    def is_dead(self) -> bool | None:
        """Whether it has ended; None when this process cannot know, as of another machine's or another container's."""
        if not (self.of_this_boot and self.started and self.pid_space == _pid_space()):
            return None
        return _started(self.pid) != self.started


def _started(pid: int) -> str:
    """The 22nd field of Linux's /proc/PID/stat; "" when there is no such process, or only its exit code waits to be fetched."""
    with suppress(OSError, IndexError):
        # The second field, a name in brackets, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""


@cache
def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _pid_space() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""
