"""The engine: a model applied slice by slice to a volume in HU."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from enum import Enum

import numpy as np
import torch

from .cascade import Cascade
from .devices import choose_device
from .errors import DenoisingCancelled, DeviceError, InputError
from .hu import add_change
from .hu_check import check_finite
from .model_file import load_model
from .networks.folding import fold_batch_norm
from .networks.layers import channels_last
from .tiling import apply_in_tiles
from .transfers import compute_batches

log = logging.getLogger(__name__)

BYTES_PER_PIXEL = 64 * 4 * 8
"""Working memory of a level: eight sets of 64 float32 feature maps, DRL's peak with its concatenations."""
CPU_TILE = 1024
"""Largest tile on a CPU, px: some 2 GB. A CPU short of memory is killed by the system, not told, so never ask for more."""
SMALLEST_TILE = 64
_CPU_PIXELS_AT_ONCE = 512 * 512
_MEMORY_SHARE = 0.6
_LARGEST_BATCH = 32


class Precision(str, Enum):
    """Arithmetic of the convolutions; the sum with the input is float32 in all of them."""

    AUTO = "auto"  # float16 on CUDA, float32 elsewhere
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"

    def dtype(self, device: torch.device) -> torch.dtype:
        if self is Precision.AUTO:
            return torch.float16 if device.type == "cuda" else torch.float32
        return getattr(torch, self.value)


class Denoiser:
    """Denoises CT volumes with one model on one device.

    Example:
        >>> import numpy as np
        >>> from LDCTDenoiseLib import Denoiser
        >>> volume = np.zeros((2, 64, 64), np.int16)
        >>> Denoiser(device="cpu")(volume).shape
        (2, 64, 64)

    Args:
        model: a shipped model's name, or a model file.
        device: "auto" (CUDA, then MPS, then CPU), "cuda", "cuda:N", "mps" or "cpu".
        precision: "auto", "float32", "float16" or "bfloat16".
        batch_size: slices computed together; None chooses by free memory.
        levels: how many levels of the cascade to use; None is all.
        blend: weight of the denoised image, 0 to 1; the rest is the input (the paper's blend is 0.7).

    Raises:
        ModelError: the model is missing or damaged.
        DeviceError: the device is not there.
        InputError: another argument is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "default",
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        levels: int | None = None,
        blend: float = 1.0,
    ) -> None:
        self.blend = blend
        if batch_size is not None and batch_size < 1:
            raise InputError(f"The batch size is {batch_size}; it must be at least 1.")
        try:
            chosen_precision = Precision(precision)
        except ValueError:
            known = ", ".join(p.value for p in Precision)
            raise InputError(f"There is no precision '{precision}'; choose one of {known}.") from None
        cascade, self.info = load_model(model)
        self.levels = cascade.use(levels)
        self.batch_size = batch_size
        self.device = choose_device(device)
        self._dtype = chosen_precision.dtype(self.device)
        self._halo = cascade.radius(self.levels)
        self._cascade = self._prepare(cascade)
        self._computing = threading.Lock()

    @property
    def blend(self) -> float:
        """Weight of the denoised image; it can be changed between volumes."""
        return self._blend

    @blend.setter
    def blend(self, blend: float) -> None:
        if not 0 <= blend <= 1:
            raise InputError(f"The blend is {blend:g}; it must be from 0 (input) to 1 (denoised).")
        self._blend = blend

    def _prepare(self, cascade: Cascade) -> Cascade:
        for index in range(len(cascade.levels)):
            cascade.networks[index] = fold_batch_norm(cascade.network(index))
        return channels_last(cascade.to(self.device))

    def __call__(
        self,
        volume: np.ndarray,
        *,
        slices: tuple[int, int] | None = None,
        progress: Callable[[int, int], object] | None = None,
        cancel: Callable[[], bool] | None = None,
        padding_value: float | np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Denoise a volume.

        Args:
            volume: (slices, rows, columns) in HU, any real type. Not changed.
            slices: zero-based half-open range to denoise; the others are copied. None is all.
            progress: called with (slices done, slices to do) after every batch.
            cancel: asked before every batch; true stops.
            padding_value: HU of padding voxels, or their boolean mask, of the volume's shape. They come out as they went
                in (below -1024 HU they always do).
            out: where the result goes, of the volume's shape; None makes a new array.

        Returns:
            Same shape. Integer types keep their type (rounded, saturated); floating types give float32.

        Raises:
            InputError: wrong shape or type, empty, voxels that are not finite, or slices out of range.
            DenoisingCancelled: ``cancel`` returned true.
            DeviceError: not enough memory, even for small tiles.
        """
        _check_volume(volume)
        start, stop = _check_slices(slices, len(volume))
        if out is None:
            out = np.empty(volume.shape, volume.dtype if np.issubdtype(volume.dtype, np.integer) else np.float32)
        elif out.shape != volume.shape:
            raise InputError(f"The output has shape {out.shape}, and the volume {volume.shape}; they must be the same.")
        out[:start] = volume[:start]
        out[stop:] = volume[stop:]
        with self._computing:  # threads that share a denoiser take turns
            self._fill(out, volume, start, stop, progress, cancel, padding_value)
        return out

    def _fill(
        self,
        out: np.ndarray,
        volume: np.ndarray,
        start: int,
        stop: int,
        progress: Callable[[int, int], object] | None,
        cancel: Callable[[], bool] | None,
        padding_value: float | np.ndarray | None,
    ) -> None:
        total = stop - start
        plan = self._plan(*volume.shape[1:])
        done = 0
        while done < total:
            try:
                for change in self._changes(volume[start + done : stop], plan, cancel):
                    part = slice(start + done, start + done + len(change))
                    padding = padding_value[part] if isinstance(padding_value, np.ndarray) else padding_value
                    out[part] = add_change(volume[part], change, padding)
                    done += len(change)
                    if progress is not None:
                        progress(done, total)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                plan = plan.smaller()
                log.warning("Out of memory on %s; going on with %s.", self.device, plan)
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def _changes(self, volume: np.ndarray, plan: _Plan, cancel: Callable[[], bool] | None) -> Iterator[np.ndarray]:
        """Changes in HU of consecutive batches, (batch, rows, columns) float32."""

        def batches() -> Iterator[np.ndarray]:
            for first in range(0, len(volume), plan.batch):
                if cancel is not None and cancel():
                    raise DenoisingCancelled("Denoising was cancelled; nothing was written.")
                yield np.ascontiguousarray(volume[first : first + plan.batch], dtype=np.float32)[:, None]

        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            for change in compute_batches(batches(), lambda hu: self._change(hu, plan.tile), self.device):
                yield change[:, 0]

    @torch.inference_mode()
    def _change(self, hu: torch.Tensor, tile: int) -> torch.Tensor:
        scale = self.info.scale
        unit = scale.to_unit(hu).contiguous(memory_format=torch.channels_last)
        reduced = self._dtype != torch.float32
        with torch.autocast(self.device.type, self._dtype) if reduced else nullcontext():
            prediction = apply_in_tiles(lambda x: self._cascade(x, self.levels).float(), unit, tile, self._halo)
        return scale.to_hu_difference(prediction - unit) * self.blend

    def _plan(self, rows: int, columns: int) -> _Plan:
        """Batch and tile for a slice size, from the device's free memory."""
        side = max(rows, columns)
        if self.device.type != "cuda":
            batch = self.batch_size or max(1, min(_LARGEST_BATCH, _CPU_PIXELS_AT_ONCE // (rows * columns)))
            return _Plan(batch, min(side, CPU_TILE))
        free, _ = torch.cuda.mem_get_info(self.device)
        pixels = int(free * _MEMORY_SHARE) // BYTES_PER_PIXEL
        batch = self.batch_size or max(1, min(_LARGEST_BATCH, pixels // (rows * columns)))
        tile = side if rows * columns <= pixels else max(SMALLEST_TILE, int(pixels**0.5) - 2 * self._halo)
        return _Plan(batch, tile)


class _Plan:
    """How much is computed at once: slices in a batch, and the side of a tile in pixels."""

    def __init__(self, batch: int, tile: int) -> None:
        self.batch = batch
        self.tile = tile

    def smaller(self) -> _Plan:
        """Half the batch, then half the tile.

        Raises:
            DeviceError: nothing smaller is left.
        """
        if self.batch > 1:
            return _Plan(self.batch // 2, self.tile)
        if self.tile > SMALLEST_TILE:
            return _Plan(1, max(SMALLEST_TILE, (self.tile + 1) // 2))
        raise DeviceError(
            f"The device has not enough memory even for tiles of {SMALLEST_TILE} pixels; "
            "close other programs or use the device cpu."
        )

    def __str__(self) -> str:
        return f"{self.batch} slice(s) at once in tiles of up to {self.tile} pixels"


def _is_out_of_memory(error: RuntimeError) -> bool:
    # CUDA has a class of its own (a RuntimeError); CPU and MPS say it in words.
    words = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in words or "not enough memory" in words


def _check_volume(volume: np.ndarray) -> None:
    if volume.ndim != 3:
        raise InputError(f"The volume has shape {volume.shape}; (slices, rows, columns) is needed.")
    if volume.size == 0:
        raise InputError(f"The volume is empty: its shape is {volume.shape}.")
    if not (np.issubdtype(volume.dtype, np.integer) or np.issubdtype(volume.dtype, np.floating)):
        raise InputError(f"The voxels are of type {volume.dtype}; integers or floating-point numbers in HU are needed.")
    check_finite(volume)


def _check_slices(slices: tuple[int, int] | None, count: int) -> tuple[int, int]:
    start, stop = slices if slices is not None else (0, count)
    if not 0 <= start < stop <= count:
        raise InputError(f"The slice range {start}:{stop} does not lie within the volume's {count} slices (0:{count}).")
    return start, stop
