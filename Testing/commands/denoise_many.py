"""A child process that runs many commands, so that one that crashes, hangs or eats the memory is seen and does not end a test.

``python -m Testing.commands.denoise_many`` reads command lines as JSON lists from stdin and answers each with a JSON line:
exit code, what was printed, seconds, and the largest memory of the process so far.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Answer:
    """What became of a command line.

    Attributes:
        code: exit code; negative: the signal that ended the process.
        out: what it printed on stdout.
        err: what it printed on stderr.
        seconds: how long it took.
        memory: largest resident memory of the child so far, bytes.
    """

    code: int
    out: str
    err: str
    seconds: float
    memory: int


class DenoiseMany:
    """Runs command lines in one child process, and in a fresh one after a crash or a hang.

    Args:
        seconds: after which a command is taken for hanging.
    """

    def __init__(self, seconds: float = 60) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, *arguments: object) -> Answer:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "Testing.commands.denoise_many"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=REPOSITORY,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", "RUST_BACKTRACE": "0"},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        start = time.monotonic()
        alarm = threading.Timer(self._seconds, self._process.kill)
        alarm.start()
        self._process.stdin.write(json.dumps([str(one) for one in arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        alarm.cancel()
        if not line:
            code, self._process = self._process.wait(), None
            return Answer(code, "", "the process ended", time.monotonic() - start, 0)
        return Answer(**json.loads(line))

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(timeout=30)


class _CurrentStderr:
    """For log lines: a handler keeps the stream that it was made with."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _largest_memory() -> int:
    """Largest resident memory of this process so far, bytes."""
    import resource  # not on Windows

    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # On Linux getrusage counts from the process that started this one: a large test run would look like a leak.
    return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024


def _serve() -> None:
    from LDCTDenoiseLib.commands.command_line import main

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=cast(TextIO, _CurrentStderr()))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what C libraries print is no answer
    for line in sys.stdin:
        start = time.monotonic()
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = main(json.loads(line))
        memory = _largest_memory()
        answer = Answer(code, out.getvalue(), err.getvalue(), time.monotonic() - start, memory)
        print(json.dumps(answer.__dict__), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
