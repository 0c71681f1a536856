"""The library's warnings, collected for a summary beside the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warnings_of_this_thread() -> Iterator[list[str]]:
    """Collect the library's warnings of this thread."""
    collector = _Collector()
    library = logging.getLogger(__name__.partition(".")[0])
    library.addHandler(collector)
    try:
        yield collector.messages
    finally:
        library.removeHandler(collector)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())
