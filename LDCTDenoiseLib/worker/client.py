"""The client's side, free of any window toolkit: one worker, started when needed, one job at a time.

Who owns the event loop brings a :class:`Transport` (a QProcess in Slicer, a plain subprocess in tests), hands over what the
process says, and calls :meth:`WorkerClient.tick` some times a second.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import Code, DenoisingCancelled, LDCTDenoiseError, WorkerError
from ..system.process_tree import kill_tree, may_be_killed
from .messages import Cancel, Failed, Hello, Progress, Request, Started
from .protocol import PROTOCOL_VERSION, RESULT, LineDecoder, Message, ProtocolError, read_answer, read_event, request_line

LOG_LINES = 500
_LINES_IN_MESSAGE = 5


class Transport(Protocol):
    """A process with pipes. It reports to the client's ``on_output``, ``on_log`` and ``on_end``."""

    def start(self, client: WorkerClient) -> None:
        """Start ``python -m LDCTDenoiseLib.worker``; a failure to start is reported to ``on_end``."""

    def write(self, data: bytes) -> None:
        """Send bytes to its stdin."""

    def kill(self) -> None:
        """Close its pipes and kill it; nothing is reported any more."""


@dataclass
class Job:
    """A request and who wants to hear of it. Exactly one of ``finished`` and ``failed`` is called, once.

    Attributes:
        request: what to do.
        finished: called with the answer, of the type ``request.answer``.
        failed: called with the error: ``DenoisingCancelled``, ``WorkerError`` or ``JobError``.
        progress: called with (done, total).
        started: called when the device is known.
    """

    request: Request
    finished: Callable[[Any], object]
    failed: Callable[[LDCTDenoiseError], object]
    progress: Callable[[int, int], object] = lambda done, total: None
    started: Callable[[Started], object] = lambda event: None
    id: int = 0
    cancelled_at: float | None = field(default=None)


class JobError(LDCTDenoiseError):
    """The worker could not do the job, for a reason that it told.

    Attributes:
        kind: name of the exception's class in the worker.
    """

    def __init__(self, failed: Failed) -> None:
        self.kind = failed.kind
        super().__init__(failed.message, failed.code)


class WorkerClient:
    """Keeps a worker and gives it jobs.

    Args:
        make_transport: makes a fresh transport for every process.
        silence_s: a worker that serves a job and says nothing for so long is taken for hanging. Importing torch from a
            slow disk keeps it silent too.
        cancel_s: how long a worker may take to stop at a batch's end before it is killed.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        make_transport: Callable[[], Transport],
        *,
        silence_s: float = 120.0,
        cancel_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._last_lines: deque[str] = deque(maxlen=_LINES_IN_MESSAGE)
        self._make_transport = make_transport
        self._silence_s = silence_s
        self._cancel_s = cancel_s
        self._clock = clock
        self._transport: Transport | None = None
        self._decoder = LineDecoder()
        self._log_rest = ""
        self._pid: int | None = None
        self._job: Job | None = None
        self._jobs = 0
        self._heard = 0.0

    @property
    def busy(self) -> bool:
        """Whether a job is being done."""
        return self._job is not None

    @property
    def pid(self) -> int | None:
        """Process ID of the running worker; None when there is none, or it has not said hello yet."""
        return self._pid

    def submit(self, job: Job) -> None:
        """Give the worker a job, starting a worker if none runs.

        Raises:
            WorkerError: it is busy.
        """
        if self.busy:
            raise WorkerError("A computation is running already; wait for it or cancel it.")
        self._jobs += 1
        job.id = self._jobs
        line = request_line(job.request, job.id)  # before the job counts: a field that cannot be written raises
        self._job = job
        self._heard = self._clock()
        if self._transport is None:
            self._decoder, self._log_rest, self._pid = LineDecoder(), "", None
            self._last_lines.clear()  # what an earlier process said explains nothing
            self._transport = self._make_transport()
            self._transport.start(self)
        if self._transport is not None:  # a failed start has been reported by now
            self._transport.write(line)

    def cancel(self) -> None:
        """Ask the worker to stop its job; :meth:`tick` kills it when it does not stop in time."""
        if self._job is not None and self._transport is not None and self._job.cancelled_at is None:
            self._job.cancelled_at = self._clock()
            self._transport.write(request_line(Cancel()))

    def shutdown(self) -> None:
        """End the worker with everything it started; a running job fails as cancelled."""
        self._kill()
        self._fail(DenoisingCancelled("The computation was stopped; nothing was changed."))

    def tick(self) -> None:
        """Look whether the worker hangs; to be called a few times a second."""
        job, now = self._job, self._clock()
        if job is None:
            return
        if job.cancelled_at is not None and now - job.cancelled_at > self._cancel_s:
            self._kill()
            self._fail(DenoisingCancelled("Denoising was cancelled; nothing was changed."))
        elif now - self._heard > self._silence_s:
            self._kill()
            self._fail(
                WorkerError(
                    self._with_log(f"The computation has not answered for {self._silence_s:g} s and was stopped."),
                    Code.WORKER_ENDED,
                )
            )

    def on_output(self, data: bytes) -> None:
        """Bytes from the worker's stdout."""
        self._heard = self._clock()
        try:
            for message in self._decoder.feed(data):
                self._on_message(message)
        except ProtocolError as error:
            self._break(f"The computation's process said something that is not part of its protocol ({error}).")

    def on_log(self, data: bytes) -> None:
        """Bytes from the worker's stderr."""
        *lines, self._log_rest = (self._log_rest + data.decode("utf-8", "replace")).split("\n")
        self.log.extend(line.rstrip() for line in lines)
        self._last_lines.extend(line.rstrip() for line in lines if line.strip())

    def on_end(self, description: str) -> None:
        """The process ended or could not start; the description says how ("exit code 1")."""
        self._break(f"The computation's process ended unexpectedly ({description}).")

    def _on_message(self, message: Message) -> None:
        kind, job = message.get("event"), self._job
        if kind == Hello.event and message.get("version") != PROTOCOL_VERSION:
            version = message.get("version", message.get("protocol"))
            self._break(
                f"The computation's process speaks protocol {version} and this module {PROTOCOL_VERSION}; "
                "install the extension again."
            )
            return
        if kind == RESULT:
            if job is not None and message.get("id") == job.id:
                answer = read_answer(message, job.request)
                self._job = None
                job.finished(answer)
            return
        event = read_event(message)
        if isinstance(event, Hello):
            if not may_be_killed(event.pid):
                raise ProtocolError(f"it says to be process {event.pid}")
            self._pid = event.pid
        elif job is not None and message.get("id") == job.id:
            if isinstance(event, Started):
                job.started(event)
            elif isinstance(event, Progress):
                job.progress(event.done, event.total)
            elif isinstance(event, Failed):
                cancelled = event.kind == DenoisingCancelled.__name__
                self._fail(DenoisingCancelled(event.message) if cancelled else JobError(event))

    def _break(self, sentence: str) -> None:
        self._kill()
        self._fail(WorkerError(self._with_log(sentence), Code.WORKER_ENDED))

    def _fail(self, error: LDCTDenoiseError) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.failed(error)

    def _kill(self) -> None:
        transport, self._transport = self._transport, None
        pid, self._pid = self._pid, None
        if transport is None:
            return
        if pid is not None:
            kill_tree(pid)  # the transport may know only a launcher
        transport.kill()

    def _with_log(self, sentence: str) -> str:
        rest = [self._log_rest] if self._log_rest.strip() else []
        lines = [*self._last_lines, *rest][-_LINES_IN_MESSAGE:]
        last = "\nThe last lines of its log:\n" + "\n".join(lines) if lines else ""
        return f"{sentence}{last}"
