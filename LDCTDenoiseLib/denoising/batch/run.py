"""Run a batch on this machine: one item is computed while others are read and written; a failed item does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from .attempt import Outcome
from .items import Item


def run_here(
    items: Iterable[Item], do: Callable[[Item], Outcome], stop: Callable[[], object], jobs: int
) -> Generator[Outcome, None, None]:
    """Do items in threads of this process, no more than ``jobs`` taken from the list at a time.

    Args:
        items: what there is to do.
        do: does one.
        stop: called when the work is to be given up: what computes stops at its next batch of slices.
        jobs: how many items are at work at once: one is computed, the others are read or written.

    Yields:
        The outcomes, as they come.
    """
    at_work: set[Future[Outcome]] = set()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for item in items:
                at_work.add(pool.submit(do, item))
                if len(at_work) == jobs:
                    done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
                    yield from (one.result() for one in done)
            while at_work:
                done, at_work = wait(at_work, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        except BaseException:  # Ctrl-C: what writes ends its file
            stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
