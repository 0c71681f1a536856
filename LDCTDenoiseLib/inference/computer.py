"""What computes batches of slices: arrays in, changes in HU or finished voxels out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DenoisingCancelled, DeviceError, counted
from ..models.model_file import Model

CPU_TILE = 1024
"""Largest tile on a CPU, px: some 1.3 GB. The OS kills a process that runs out of RAM; no exception is raised."""
SMALLEST_TILE = 64
_CPU_PIXELS_AT_ONCE = 512 * 512
_LARGEST_CPU_BATCH = 32
_NO_MEMORY = ("out of memory", "not enough memory", "can't alloc", "failed to allocate", "bad_alloc")
"""Words of CUDA and MPS, of PyTorch on a CPU under Windows and under Linux, of OpenVINO, and of C++."""


@dataclass(frozen=True)
class Plan:
    """How much is computed at once: slices in a batch, and the side of a tile in pixels."""

    batch: int
    tile: int

    def smaller(self) -> Plan:
        """Half the batch, then half the tile.

        Raises:
            DeviceError: nothing smaller is left.
        """
        if self.batch > 1:
            return Plan(self.batch // 2, self.tile)
        if self.tile > SMALLEST_TILE:
            return Plan(1, max(SMALLEST_TILE, (self.tile + 1) // 2))
        raise DeviceError(
            f"The device has not enough memory even for tiles of {SMALLEST_TILE} pixels; "
            "close other programs or use the device cpu."
        )

    def __str__(self) -> str:
        return f"{counted(self.batch, 'slice')} at once in tiles of up to {self.tile} pixels"


def plan_on_cpu(slices: int, rows: int, columns: int, batch_size: int | None) -> Plan:
    """Batch and tile for slices of a size."""
    batch = batch_size or min(_LARGEST_CPU_BATCH, _CPU_PIXELS_AT_ONCE // (rows * columns))
    return Plan(max(1, min(batch, slices)), min(max(rows, columns), CPU_TILE))


class Computer(ABC):
    """The first levels of a model, on a device.

    Args:
        model: not changed.
        levels: how many.
        join: concatenates images of the kind that the networks take, along their channels.

    Attributes:
        counts_at_once: whether :meth:`count_not_finite` need not wait for the device.
        networks: of the levels.
    """

    counts_at_once = True
    networks: Sequence[Callable[[Any], Any]]

    def __init__(self, model: Model, levels: int, join: Callable[[list[Any]], Any]) -> None:
        self._levels = model.info.levels[:levels]
        self._scale = model.info.scale
        self._halo = sum(level.architecture.radius for level in self._levels)
        self._described = [(level.architecture, model.convolutions(index)) for index, level in enumerate(self._levels)]
        self._join = join

    def predict(self, images: Any) -> Any:
        """The levels' result for (batch, 1, rows, columns), network units."""
        result = images
        for level, network in zip(self._levels, self.networks, strict=True):
            result = level.step(network, images, result, self._join)
        return result

    @abstractmethod
    def plan(self, slices: int, rows: int, columns: int, batch_size: int | None) -> Plan:
        """Batch and tile for slices of a size, from the device's free memory."""

    @abstractmethod
    def results(
        self,
        volume: np.ndarray,
        padding: float | np.ndarray | None,
        plan: Plan,
        blend: float,
        cancel: Callable[[], bool] | None,
    ) -> Iterator[np.ndarray]:
        """Denoise a volume batch by batch.

        Args:
            volume: (slices, rows, columns), HU, any real type and layout.
            padding: HU of padding, or its boolean mask.
            plan: how much at once.
            blend: weight of the denoised image.
            cancel: asked before every batch.

        Yields:
            Of consecutive slices: integers are the result, in the volume's type; float32 is the change in HU.

        Raises:
            DenoisingCancelled: ``cancel`` returned true.
        """

    @abstractmethod
    def count_not_finite(self) -> int:
        """How many predictions since :meth:`reset` were NaN or infinite."""

    @abstractmethod
    def reset(self) -> None:
        """Begin to count anew."""

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether an error says that the device has not enough memory."""
        text = str(error).lower()
        return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)

    @abstractmethod
    def forget(self) -> None:
        """Give back memory that is only kept for speed."""

    @abstractmethod
    def running(self) -> AbstractContextManager[None]:
        """Around a computation: threads are as many as asked."""


def parts(length: int, size: int, cancel: Callable[[], bool] | None) -> Iterator[slice]:
    """Ranges of batches.

    Raises:
        DenoisingCancelled: ``cancel`` returned true before one of them.
    """
    for first in range(0, length, size):
        if cancel is not None and cancel():
            raise DenoisingCancelled("Denoising was cancelled; nothing was written.")
        yield slice(first, first + size)
