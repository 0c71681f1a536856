"""Call functions in a child process: a crash in a library's native code does not end this process."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ..errors import Code, DenoisingCancelled, InputError, LDCTDenoiseError, as_sentence, code_of
from .signals import STOPS

_LIBRARY = __name__.partition(".")[0]
_CHUNK_BYTES = 8 * 2**20
_LOOK_SECONDS = 0.5
_SIGNALS = (signal.SIGINT, *STOPS)


class ChildCrashedError(LDCTDenoiseError):
    """The child ended without an answer."""


class Children:
    """Child processes, started when needed and kept for the next call; each does one call at a time.

    Args:
        stopped: set when calls are to be given up.
        imports: module to import before the first child is made of it.
        prepare: called in every child; a module's function.
    """

    def __init__(self, stopped: threading.Event, imports: str, prepare: Callable[[], object]) -> None:
        self._stopped = stopped
        self._imports = imports
        self._prepare = prepare
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        self._all: list[_Child] = []

    def start(self, count: int) -> None:
        """Start some before they are needed: what they import takes a second."""
        for _ in range(count):
            self._idle.put(self._new())

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a module's function in a child. What it logs is logged here; large arrays are handed over without a copy.

        Raises:
            ChildCrashedError: the child died; the sentence says how.
            InputError: what the function raised, as a sentence.
            MemoryError: there was not enough memory.
            DenoisingCancelled: given up.
        """
        try:
            child = self._idle.get_nowait()
        except queue.Empty:
            child = self._new()
        try:
            answer = child.call(function, arguments, self._stopped)
        except BaseException:
            child.kill()
            raise
        self._idle.put(child)
        for name, level, message in answer.log:
            logging.getLogger(name).log(level, "%s", message)
        if answer.out_of_memory:
            raise MemoryError
        if answer.error:
            raise InputError(answer.error, answer.code)
        return answer.value

    def _new(self) -> _Child:
        child = _Child(self._imports, self._prepare)
        self._all.append(child)
        return child

    def close(self) -> None:
        """End them all."""
        for child in self._all:
            child.kill()


class _Answer:
    """What a call gave.

    Attributes:
        value: what it returned.
        error: what it raised, as a sentence.
        code: of the error.
        out_of_memory: whether it was the memory.
        log: logger's name, level and message of what it logged.
    """

    def __init__(self) -> None:
        self.value: Any = None
        self.error = ""
        self.code = Code.UNEXPECTED
        self.out_of_memory = False
        self.log: list[tuple[str, int, str]] = []


class _Child:
    def __init__(self, imports: str, prepare: Callable[[], object]) -> None:
        # Never a fork of this process, whose threads would not survive it.
        context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
        if sys.platform != "win32":
            context.set_forkserver_preload([imports])
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare), daemon=True)
        self._process.start()
        theirs.close()

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...], stopped: threading.Event) -> _Answer:
        try:
            self._connection.send((function, arguments))
            while not self._connection.poll(_LOOK_SECONDS):
                if stopped.is_set():
                    raise DenoisingCancelled("Denoising was cancelled; nothing was written.")
            answer = _receive(self._connection)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise ChildCrashedError(f"The process that read it ended ({self._how_it_ended()}).") from None
        return answer

    def _how_it_ended(self) -> str:
        self._process.join(10)
        code = self._process.exitcode
        with suppress(ValueError, TypeError):
            return signal.Signals(-code).name
        return f"exit code {code}"

    def kill(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join(10)


def _serve(connection: Connection, prepare: Callable[[], object]) -> None:
    """The child: answers calls until the other side is gone, whatever signals its group gets."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    prepare()
    library = logging.getLogger(_LIBRARY)
    library.setLevel(logging.INFO)
    library.propagate = False
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            function, arguments = connection.recv()
            answer = _Answer()
            collector = _Collector(answer.log)
            library.addHandler(collector)
            try:
                answer.value = function(*arguments)
            except MemoryError:
                answer.out_of_memory = True
            except Exception as error:  # whatever it is, the other side must hear of it
                answer.error, answer.code = as_sentence(error), code_of(error)
            library.removeHandler(collector)
            _send(connection, answer)
            del answer  # its arrays


class _Collector(logging.Handler):
    def __init__(self, log: list[tuple[str, int, str]]) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.append((record.name, record.levelno, record.getMessage()))


def _send(connection: Connection, answer: _Answer) -> None:
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(answer, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    connection.send((len(pickled), [view.nbytes for view in views]))
    for view in (memoryview(pickled), *views):
        for start in range(0, view.nbytes, _CHUNK_BYTES):
            connection.send_bytes(view[start : start + _CHUNK_BYTES])


def _receive(connection: Connection) -> _Answer:
    length, sizes = connection.recv()
    pickled, *buffers = (np.empty(size, np.uint8) for size in (length, *sizes))
    for buffer in (pickled, *buffers):
        for start in range(0, buffer.nbytes, _CHUNK_BYTES):
            connection.recv_bytes_into(buffer[start : start + _CHUNK_BYTES])
    answer = pickle.loads(pickled.data, buffers=buffers)
    assert isinstance(answer, _Answer)
    return answer
