"""Run a batch on this machine: one item is computed while others are read and written; a failed item does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .items import Item
from .one_item import ItemOptions, Outcome, attempt


class Batch:
    """A batch of items with one folder for their outputs.

    Args:
        folder: where the outputs go.
        options: how items are done, and with what.
        jobs: how many items are at work at once: one is computed, the others are read or written.
    """

    def __init__(self, folder: Path, options: ItemOptions, jobs: int = 2) -> None:
        self._folder = folder
        self._options = options
        self._jobs = jobs

    def run(self, items: list[Item], done: Callable[[Outcome], object]) -> list[Outcome]:
        """Do the items.

        Args:
            items: what there is to do.
            done: called in this thread with the outcome of every item, as they end.

        Returns:
            The outcomes, in the order of the items.
        """
        outcomes: dict[int, Outcome] = {}
        with ThreadPoolExecutor(self._jobs) as pool:
            futures = {pool.submit(attempt, item, self._folder, self._options): number for number, item in enumerate(items)}
            try:
                for future in as_completed(futures):
                    outcomes[futures[future]] = future.result()
                    done(future.result())
            except BaseException:  # Ctrl-C: what computes stops at its next batch of slices, what writes ends its file
                self._options.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return [outcomes[number] for number in range(len(items))]
