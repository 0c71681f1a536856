"""The library's worker: one for all panels and scripts, started when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer

from LDCTDenoiseLib.errors import DenoisingCancelled, LDCTDenoiseError
from LDCTDenoiseLib.worker.client import Job, WorkerClient
from LDCTDenoiseLib.worker.messages import Request, Started

from .eventLoopTask import WAIT, Steps
from .processTransport import QProcessTransport

if TYPE_CHECKING:
    from .denoiseRun import DenoiseRun


class Worker:
    """The worker and the jobs given to it, as steps of an ``EventLoopTask``.

    Attributes:
        run: the ``DenoiseRun`` that uses it now or used it last.
    """

    def __init__(self) -> None:
        self.client = WorkerClient(QProcessTransport)
        self.run: DenoiseRun | None = None
        slicer.app.connect("aboutToQuit()", self.shutdown)

    def do(
        self,
        request: Request,
        progress: Callable[[int, int], Any] = lambda done, total: None,
        started: Callable[[Started], Any] = lambda event: None,
    ) -> Steps:
        """Steps that do one job; they return the answer, of the type ``request.answer``.

        Raises:
            DenoisingCancelled: it was cancelled, even if the worker was faster.
            LDCTDenoiseError: what the worker or its process reports.
        """
        while self.client.busy:  # a preview, which ends soon
            self.client.tick()
            yield WAIT
        outcome: list[Any] = []
        failure: list[LDCTDenoiseError] = []
        cancelled: DenoisingCancelled | None = None
        self.client.submit(Job(request, outcome.append, failure.append, progress, started))
        try:
            while not outcome and not failure:
                self.client.tick()
                try:
                    yield WAIT
                except DenoisingCancelled as error:
                    cancelled = error
                    self.client.cancel()
        finally:
            if not outcome and not failure:  # the task was aborted
                self.client.shutdown()
        if failure:
            raise failure[0]
        if cancelled is not None:
            raise cancelled
        return outcome[0]

    def shutdown(self, *_: Any) -> None:
        """End the process with everything that it started."""
        self.client.shutdown()


_shared = None


def sharedWorker() -> Worker:
    """The one worker of this Slicer, with the model that it has loaded."""
    global _shared
    if _shared is None:
        _shared = Worker()
    return _shared
