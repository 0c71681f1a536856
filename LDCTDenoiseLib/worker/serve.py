"""The worker's side: requests from stdin one after the other, events to stdout."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import BinaryIO

from ..errors import LDCTDenoiseError, code_of
from ..system.openvino_parts import leave_out_conversion
from ..system.priority import restore_priority
from ..system.process_tree import lead_own_group
from ..system.signals import STOPS
from ..version import __version__
from .exchange import PREFIX, check_arrays
from .jobs import JOBS, Jobs
from .messages import Alive, Cancel, Failed, Hello
from .protocol import (
    ALIVE_SECONDS,
    ENDLESS,
    MAX_LINE_BYTES,
    Message,
    ProtocolError,
    answer_line,
    decode,
    event_line,
    read_request,
)

log = logging.getLogger(__name__)


class Server:
    """Serves requests until the input ends.

    Args:
        requests: binary stream of requests.
        events: binary stream for events.
    """

    def __init__(self, requests: BinaryIO, events: BinaryIO) -> None:
        self._requests = requests
        self._events = events
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._folder: Path | None = None
        self._busy = threading.Event()

    def run(self) -> None:
        """Never returns: the end of the input ends the process."""
        self._send(event_line(Hello(__version__, os.getpid())))
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._tell_alive, daemon=True).start()
        jobs = Jobs(self._cancelled.is_set)
        while True:
            self._serve(jobs, self._queue.get())

    def _send(self, line: bytes) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):  # the end of the input says the same, and is handled
            self._events.write(line)
            self._events.flush()

    def _read(self) -> None:
        try:
            self._read_requests()
        except BaseException:  # without this thread nobody could cancel or end the worker
            traceback.print_exc()
            self.end(1)
        # Whoever asked is gone: nobody would read the result, and nobody else would remove the volumes.
        self.end(0)

    def _read_requests(self) -> None:
        while line := self._requests.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                raise ProtocolError(ENDLESS)
            try:
                message = decode(line)
            except ProtocolError as error:
                log.error("Request not understood: %s", error)
                continue
            if message.get("request") == Cancel.request:
                self._cancelled.set()
            else:
                self._cancelled.clear()
                self._queue.put(message)

    def end(self, exit_code: int) -> None:
        """End the process, whatever it computes, without its job's volumes."""
        if self._folder is not None and self._folder.name.startswith(PREFIX):
            shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(exit_code)

    def _tell_alive(self) -> None:
        while self._busy.wait():
            self._send(event_line(Alive()))
            threading.Event().wait(ALIVE_SECONDS)

    def _serve(self, jobs: Jobs, message: Message) -> None:
        number = message.get("id")
        self._busy.set()
        try:
            request = read_request(message)
            check_arrays(request)
            self._folder = getattr(request, "folder", None)
            answer = JOBS[type(request)](jobs, request, lambda event: self._send(event_line(event, number)))
            line = answer_line(answer, number)
        except Exception as error:  # whatever it is, the other side must hear of it
            if not isinstance(error, LDCTDenoiseError):  # those are told to the user, and no fault of the program
                traceback.print_exc()
            line = event_line(Failed(type(error).__name__, code_of(error), _sentence(error)), number)
        finally:
            self._busy.clear()
            self._folder = None
        self._send(line)


def _sentence(error: Exception) -> str:
    if isinstance(error, LDCTDenoiseError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory for this volume; close other programs, or denoise a range of slices."
    return f"The computation failed ({type(error).__name__}: {error}); the log says where."


def main() -> None:
    """Serve on stdin and stdout."""
    lead_own_group()
    restore_priority()
    leave_out_conversion()
    # A library that prints must not break the protocol: what it takes for stdout is the log.
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    server = Server(sys.stdin.buffer, events)
    for stop in STOPS:
        signal.signal(stop, lambda number, frame: server.end(128 + number))
    server.run()
