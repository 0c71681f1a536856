"""A model by PyTorch, on CUDA, MPS or the CPU."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import nn

from ..ct.hu import finish_hu
from ..models.architectures.architecture import Architecture, Precision
from ..models.convolution import Convolution
from ..models.model_file import Model
from .backends import cudnn, onednn
from .backends.plain import PlainNetwork
from .computer import SMALLEST_TILE, Computer, Plan, parts, plan_on_cpu
from .cuda_graph import Replayed
from .tiling import apply_in_tiles
from .transfers import compute_batches, travels_as

BYTES_PER_PIXEL = 64 * 4 * 8
"""Working memory of a level: eight sets of 64 float32 feature maps, above any backend's peak."""
_MEMORY_SHARE = 0.6
_LARGEST_CUDA_BATCH = 8
"""A slice of 512 x 512 alone is two thousand blocks of 128 pixels, enough for any GPU; more slices only hide the launches."""


class TorchComputer(Computer):
    """The first levels of a model.

    Args:
        model: not changed.
        levels: how many.
        device: where.
        precision: of the layers that bear it.
        threads: of a CPU; None leaves PyTorch's number, one for each core.
    """

    def __init__(self, model: Model, levels: int, device: torch.device, precision: Precision, threads: int | None) -> None:
        super().__init__(model, levels, partial(torch.cat, dim=1))
        self._device = device
        self._threads = threads
        self.networks = build(self._described, device, precision)
        self.counts_at_once = device.type == "cpu"
        me = weakref.proxy(self)  # no cycle: a denoiser that is dropped gives its memory back at once
        self._not_finite = torch.zeros((), dtype=torch.int64, device=device)
        """Counts predictions that are NaN or infinite where they are made: asking for every batch would wait for the device."""
        self.replayed = Replayed(lambda *arguments: me._compute(*arguments))

    def plan(self, slices: int, rows: int, columns: int, batch_size: int | None) -> Plan:
        if self._device.type != "cuda":
            return plan_on_cpu(slices, rows, columns, batch_size)
        # What PyTorch holds already, for an earlier volume, will serve this one.
        free = torch.cuda.mem_get_info(self._device)[0] + torch.cuda.memory_reserved(self._device)
        pixels = int(free * _MEMORY_SHARE) // BYTES_PER_PIXEL
        tile = max(rows, columns) if rows * columns <= pixels else max(SMALLEST_TILE, int(pixels**0.5) - 2 * self._halo)
        if batch_size:
            return Plan(min(batch_size, slices), tile)
        most = max(1, min(_LARGEST_CUDA_BATCH, pixels // (rows * columns)))
        return Plan(math.ceil(slices / math.ceil(slices / most)), tile)  # batches of one size: none has to be filled up

    def results(
        self,
        volume: np.ndarray,
        padding: float | np.ndarray | None,
        plan: Plan,
        blend: float,
        cancel: Callable[[], bool] | None,
    ) -> Iterator[np.ndarray]:
        in_place = travels_as(volume.dtype) != torch.float32
        mask = padding if in_place and isinstance(padding, np.ndarray) else None
        by_value = math.nan if padding is None or isinstance(padding, np.ndarray) else padding
        weight, padding_hu = torch.tensor([blend, by_value], dtype=torch.float32).to(self._device)

        def batches() -> Iterator[Sequence[np.ndarray]]:
            for part in parts(len(volume), plan.batch, cancel):
                yield [volume[part]] if mask is None else [volume[part], mask[part]]

        def compute(voxels: torch.Tensor, *mask: torch.Tensor) -> torch.Tensor:
            with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
                if self._device.type != "cuda":
                    return self._compute(plan.tile, weight, padding_hu, voxels, *mask)
                with torch.cuda.device(self._device):
                    return self.replayed(plan.tile, weight, padding_hu, voxels, *mask)

        yield from compute_batches(batches(), compute, self._device, plan.batch)

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
        unit = self._scale.to_unit(voxels.float())[:, None]
        prediction = apply_in_tiles(self.predict, unit, tile, self._halo, torch.empty_like)
        self._not_finite += (~torch.isfinite(prediction)).sum()
        change = self._scale.to_hu_difference(prediction - unit)[:, 0] * blend
        if voxels.is_floating_point():
            return change
        return finish_hu(voxels, change, padding_hu if mask is None else mask)

    def count_not_finite(self) -> int:
        return int(self._not_finite)

    def reset(self) -> None:
        self._not_finite.zero_()

    def forget(self) -> None:
        if self._device.type == "cuda":
            self.replayed.forget()

    @contextmanager
    def running(self) -> Iterator[None]:
        if self._threads is None:
            yield
            return
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def build(
    networks: Sequence[tuple[Architecture, list[Convolution]]], device: torch.device, precision: Precision
) -> list[nn.Module]:
    """Networks that take turns, by what is fastest on the device: same input, same output."""
    if device.type == "cpu" and onednn.is_usable():
        memory = onednn.Memory()
        return [onednn.OneDNNNetwork(*network, precision, memory) for network in networks]
    if device.type == "cuda" and cudnn.is_usable(device, precision):
        return [cudnn.CuDNNNetwork(*network, device, precision) for network in networks]
    return [PlainNetwork(*network, device, precision) for network in networks]
