"""A process that does items of a batch: its model is loaded once, its reading processes are started once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...dicom.log_privacy import silence_pydicom
from ...inference.engine import Denoiser
from ...models.model_info import ModelInfo, find_model, read_info
from ...models.options import DenoisingOptions
from ...models.provenance import Provenance
from ...stores.address import Address
from ...system.child import Children
from .. import one_file
from ..one_file import FileOptions
from .alone import at_work
from .attempt import Outcome, attempt
from .items import Item, Shard
from .one_item import ItemOptions, Recipe


@dataclass(frozen=True)
class Plan:
    """All that a process needs to be told to do items of a batch.

    Attributes:
        folder: where the outputs go: on this machine, or in a store.
        denoising: which model, and how it is applied.
        file: how to read and write.
        jobs: how many items are at work at once: one is computed, the others are read or written.
        dry_run: only look at what there is to do.
        shard: the part of the list that is done.
    """

    folder: Path | Address
    denoising: DenoisingOptions = field(default_factory=DenoisingOptions)
    file: FileOptions = field(default_factory=FileOptions)
    jobs: int = 2
    dry_run: bool = False
    shard: Shard | None = None


class ItemWorker:
    """Does items, several at a time when called from several threads.

    Args:
        plan: what to do.
        items: how many there are, if that is known.
        progress: called with (output, slices done, slices to do) after every batch of slices.

    Raises:
        ModelError: the model is missing or damaged.
        DeviceError: the device is not there.
    """

    def __init__(self, plan: Plan, items: int | None = None, progress: Callable[[Path, int, int], object] | None = None) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._readers = Children(self._stop, one_file.__name__, silence_pydicom)
        try:
            denoiser = None
            if not plan.dry_run:
                self._readers.start(min(plan.jobs, plan.jobs if items is None else items))
                denoiser = Denoiser.from_options(plan.denoising)
            self.info: ModelInfo = denoiser.info if denoiser else read_info(find_model(plan.denoising.model))
            used = replace(plan.denoising, levels=plan.denoising.levels or len(self.info.levels))
            made = Provenance(self.info.name, self.info.model_hash, used, (0, 0))
            self._options = ItemOptions(Recipe(made, plan.file), denoiser, self._readers, self._stop, progress)
        except BaseException:
            self.close()
            raise

    def do(self, item: Item) -> Outcome:
        """Do an item."""
        return attempt(item, self._plan.folder, self._options)

    def stop(self) -> None:
        """Give up what is computed; what is written is ended."""
        self._stop.set()

    def close(self) -> None:
        """End the reading processes."""
        self._readers.close()


class ClusterWorker(ItemWorker):
    """An item worker that may outlive who started it: while it lives, no other batch starts in its folder."""

    def __init__(self, plan: Plan) -> None:
        self._held = ExitStack()
        if isinstance(plan.folder, Path):
            self._held.enter_context(at_work(plan.folder, plan.shard))
        super().__init__(plan)

    def close(self) -> None:
        """End the reading processes, and let others in."""
        super().close()
        self._held.close()
