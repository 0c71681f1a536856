"""The engine: a model applied slice by slice to a volume in HU."""

from __future__ import annotations

import logging
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace

import numpy as np
import torch
from torch import nn

from ..ct.hu import finish_hu
from ..ct.hu_check import check_finite
from ..errors import DenoisingCancelled, DeviceError, InputError
from ..models.cascade import Cascade
from ..models.model_file import load_model
from ..models.options import DenoisingOptions
from ..models.provenance import Provenance
from ..system.devices import choose_device
from .backends import build, choose_backend, choose_precision
from .body_box import Box, Region, box_to_denoise
from .cuda_graph import Replayed
from .tiling import apply_in_tiles
from .transfers import compute_batches, travels_as

log = logging.getLogger(__name__)

BYTES_PER_PIXEL = 64 * 4 * 8
"""Working memory of a level: eight sets of 64 float32 feature maps, above any backend's peak."""
CPU_TILE = 1024
"""Largest tile on a CPU, px: some 1.3 GB. A CPU short of memory is killed by the system, not told, so never ask for more."""
SMALLEST_TILE = 64
_CPU_PIXELS_AT_ONCE = 512 * 512
_MEMORY_SHARE = 0.6
_LARGEST_CPU_BATCH = 32
_LARGEST_CUDA_BATCH = 8
"""A slice of 512 x 512 alone is two thousand blocks of 128 pixels, enough for any GPU; more slices only hide the launches."""


class Denoiser:
    """Denoises CT volumes with one model on one device.

    Examples:
        >>> import numpy as np
        >>> from LDCTDenoiseLib import Denoiser
        >>> volume = np.zeros((2, 64, 64), np.int16)
        >>> Denoiser(device="cpu")(volume).shape
        (2, 64, 64)

    Args:
        model: a shipped model's name, or a model file.
        device: "auto" (CUDA, then MPS, then CPU), "cuda", "cuda:N", "mps" or "cpu".
        precision: "auto" (float16 on CUDA, float32 elsewhere), "float32", "float16" or "bfloat16". A CPU without instructions for
            what is asked computes in float32.
        batch_size: slices computed together; None chooses by free memory.
        levels: how many levels of the cascade to use; None is all.
        blend: weight of the denoised image, 0 to 1; the rest is the input (the paper's blend is 0.7).
        backend: "torch", "openvino" (float32 on the CPU), or "auto": OpenVINO where it is installed and can be used.
        threads: of a CPU; None leaves PyTorch's number, one for each core.
        region: "all", or "body": the bounding box of the body in all slices; what lies around it stays as it is.

    Raises:
        ModelError: the model is missing or damaged.
        DeviceError: the device is not there.
        InputError: another argument is out of range.
        MissingExtraError: the backend is not installed.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "default",
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
        levels: int | None = None,
        blend: float = 1.0,
        backend: str = "auto",
        threads: int | None = None,
        region: str = "all",
    ) -> None:
        self._options = DenoisingOptions(
            model=os.fspath(model),
            device=device,
            precision=precision,
            batch_size=batch_size,
            levels=levels,
            blend=blend,
            backend=backend,
            threads=threads,
            region=region,
        )
        self.blend = blend
        if batch_size is not None and batch_size < 1:
            raise InputError(f"The batch size is {batch_size}; it must be at least 1.")
        if threads is not None and threads < 1:
            raise InputError(f"The number of threads is {threads}; it must be at least 1.")
        try:
            self.region = Region(region)
        except ValueError:
            raise InputError(f"There is no region '{region}'; choose one of {', '.join(one.value for one in Region)}.") from None
        cascade, self.info = load_model(model)
        self.levels = cascade.use(levels)
        self.batch_size = batch_size
        self.threads = threads
        self.device = choose_device(device)
        self._precision = choose_precision(precision, self.device)
        self.backend = choose_backend(backend, self.device, self._precision)
        self._halo = cascade.radius(self.levels)
        self._cascade = self._prepare(cascade)
        me = weakref.proxy(self)  # no cycle: a denoiser that is dropped gives its memory back at once
        self._not_finite = torch.zeros((), dtype=torch.int64, device=self.device)
        """Counts predictions that are NaN or infinite where they are made: asking for every batch would wait for the device."""
        self._replayed = Replayed(lambda *arguments: me._compute(*arguments))
        self._computing = threading.Lock()

    @classmethod
    def from_options(cls, options: DenoisingOptions) -> Denoiser:
        """A denoiser as the options say."""
        return cls(**{one.name: getattr(options, one.name) for one in fields(options)})

    @property
    def options(self) -> DenoisingOptions:
        """As asked for, but with the levels that are used and the blend of now."""
        return replace(self._options, levels=self.levels, blend=self.blend)

    def provenance(self, slices: tuple[int, int]) -> Provenance:
        """What makes the next result.

        Args:
            slices: half-open range that is denoised.
        """
        device, backend = str(self.device), self.backend.value
        return Provenance(self.info.name, self.info.model_hash, self.options, slices, device, backend)

    @property
    def blend(self) -> float:
        """Weight of the denoised image; it can be changed between volumes."""
        return self._blend

    @blend.setter
    def blend(self, blend: float) -> None:
        if not 0 <= blend <= 1:
            raise InputError(f"The blend is {blend:g}; it must be from 0 (input) to 1 (denoised).")
        self._blend = blend

    @property
    def halo(self) -> int:
        """How many pixels away a voxel can change the result."""
        return self._halo

    def _prepare(self, cascade: Cascade) -> Cascade:
        """The levels that are used, as the backend computes them."""
        used = [cascade.network(index) for index in range(self.levels)]
        cascade.networks = nn.ModuleList(build(used, self.backend, self.device, self._precision))
        return cascade

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
            DeviceError: not enough memory, even for small tiles, or a result that is not finite.
        """
        _check_volume(volume)
        start, stop = _check_slices(slices, len(volume))
        if out is None:
            out = np.empty(volume.shape, volume.dtype if np.issubdtype(volume.dtype, np.integer) else np.float32)
        elif out.shape != volume.shape:
            raise InputError(f"The output has shape {out.shape}, and the volume {volume.shape}; they must be the same.")
        out[:start] = volume[:start]
        out[stop:] = volume[stop:]
        padding = padding_value[start:stop] if isinstance(padding_value, np.ndarray) else padding_value
        with self._computing, _threads(self.threads):  # threads that share a denoiser take turns
            self._fill(out[start:stop], volume[start:stop], progress, cancel, padding)
        return out

    def _fill(
        self,
        out: np.ndarray,
        volume: np.ndarray,
        progress: Callable[[int, int], object] | None,
        cancel: Callable[[], bool] | None,
        padding: float | np.ndarray | None,
    ) -> None:
        total, *shape = volume.shape
        box = box_to_denoise(volume, self.region, padding)
        if box is None:
            out[:] = volume
            if progress is not None:
                progress(total, total)
            return
        outer = box.grown(self._halo, (shape[0], shape[1]))
        plan = self._plan(total, *outer.shape)
        self._not_finite.zero_()
        done = 0
        while done < total:
            try:
                for result in self._results(
                    volume[done:], padding[done:] if isinstance(padding, np.ndarray) else padding, outer, plan, cancel
                ):
                    if self.device.type == "cpu":  # others would have to be waited for
                        self._check_finite()
                    self._put(result, box, outer, done, out, volume, padding)
                    done += len(result)
                    if progress is not None:
                        progress(done, total)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                plan = plan.smaller()
                log.warning("Out of memory on %s; going on with %s.", self.device, plan)
                if self.device.type == "cuda":
                    self._replayed.forget()
        self._check_finite()

    def _check_finite(self) -> None:
        if bad := int(self._not_finite):
            computed = f"computed in {str(self._precision).removeprefix('torch.')} on {self.device}"
            raise DeviceError(
                f"The network gave {bad} voxels that are NaN or infinite, {computed}; use the precision float32, the device "
                "cpu, or another model."
            )

    def _put(
        self,
        result: np.ndarray,
        box: Box,
        outer: Box,
        first: int,
        out: np.ndarray,
        volume: np.ndarray,
        padding: float | np.ndarray | None,
    ) -> None:
        """Put a batch's result into the output: finished voxels of small integers, else changes in HU."""
        part, inner = slice(first, first + len(result)), box.within(outer)
        result = result[:, inner.rows, inner.columns]
        if box.shape != volume.shape[1:]:
            out[part] = volume[part]
        where = part, box.rows, box.columns
        if np.issubdtype(result.dtype, np.integer):
            out[where] = result
        else:
            out[where] = finish_hu(volume[where], result, padding[where] if isinstance(padding, np.ndarray) else padding)

    def _results(
        self,
        volume: np.ndarray,
        padding: float | np.ndarray | None,
        outer: Box,
        plan: _Plan,
        cancel: Callable[[], bool] | None,
    ) -> Iterator[np.ndarray]:
        """What :meth:`_compute` gives for consecutive batches of the outer box."""
        in_place = travels_as(volume.dtype) != torch.float32
        by_value = math.nan if padding is None or isinstance(padding, np.ndarray) else padding
        blend, padding_hu = torch.tensor([self.blend, by_value], dtype=torch.float32).to(self.device)

        def batches() -> Iterator[Sequence[np.ndarray]]:
            for first in range(0, len(volume), plan.batch):
                if cancel is not None and cancel():
                    raise DenoisingCancelled("Denoising was cancelled; nothing was written.")
                where = slice(first, first + plan.batch), outer.rows, outer.columns
                yield [volume[where], padding[where]] if in_place and isinstance(padding, np.ndarray) else [volume[where]]

        def compute(voxels: torch.Tensor, *mask: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
                if self.device.type != "cuda":
                    return self._compute(plan.tile, blend, padding_hu, voxels, *mask)
                with torch.cuda.device(self.device):
                    return self._replayed(plan.tile, blend, padding_hu, voxels, *mask)

        yield from compute_batches(batches(), compute, self.device, plan.batch)

    def _compute(
        self,
        tile: int,
        blend: torch.Tensor,
        padding_hu: torch.Tensor,
        voxels: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Denoise a batch on the device.

        Args:
            tile: largest side that is computed at once, px.
            blend: no axes.
            padding_hu: HU of padding, NaN for none; no axes.
            voxels: (batch, rows, columns), HU; integers or float32.
            mask: padding, same shape, for integers.

        Returns:
            Integers: the result, in their type. float32: the change in HU.
        """
        scale = self.info.scale
        hu = voxels.float()
        unit = scale.to_unit(hu)[:, None]
        prediction = apply_in_tiles(lambda x: self._cascade(x, self.levels), unit, tile, self._halo)
        self._not_finite += (~torch.isfinite(prediction)).sum()
        change = scale.to_hu_difference(prediction - unit)[:, 0] * blend
        if voxels.is_floating_point():
            return change
        return finish_hu(voxels, change, padding_hu if mask is None else mask)

    def _plan(self, slices: int, rows: int, columns: int) -> _Plan:
        """Batch and tile for slices of a size, from the device's free memory."""
        side = max(rows, columns)
        if self.device.type != "cuda":
            batch = self.batch_size or min(_LARGEST_CPU_BATCH, _CPU_PIXELS_AT_ONCE // (rows * columns))
            return _Plan(max(1, min(batch, slices)), min(side, CPU_TILE))
        # What PyTorch holds already, for an earlier volume, will serve this one.
        free = torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_reserved(self.device)
        pixels = int(free * _MEMORY_SHARE) // BYTES_PER_PIXEL
        tile = side if rows * columns <= pixels else max(SMALLEST_TILE, int(pixels**0.5) - 2 * self._halo)
        if self.batch_size:
            return _Plan(min(self.batch_size, slices), tile)
        most = max(1, min(_LARGEST_CUDA_BATCH, pixels // (rows * columns)))
        return _Plan(math.ceil(slices / math.ceil(slices / most)), tile)  # batches of one size: none has to be filled up


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


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads of the CPU."""
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
