"""End a command on SIGTERM or SIGHUP as on Ctrl-C: remove what is half done, and exit with a code for the signal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What container runtimes, cluster schedulers and closing terminals send before they kill."""


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end: whatever handles Ctrl-C handles it too.

    Attributes:
        exit_code: 128 and the signal's number, as shells tell it.
    """

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(signal.Signals(number).name)


@contextmanager
def stops_like_ctrl_c() -> Iterator[None]:
    """Let the signals that ask a process to end raise :class:`Stopped` in the main thread.

    Does nothing in another thread. Signals that are ignored, as SIGHUP under nohup, or handled already, stay so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in STOPS if signal.getsignal(number) is signal.SIG_DFL]

    def stop(number: int, frame: FrameType | None) -> None:
        for one in taken:  # a second one must not end the clean-up
            signal.signal(one, signal.SIG_IGN)
        raise Stopped(number)

    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
