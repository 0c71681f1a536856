"""A model by OpenVINO on the CPU: arrays all the way, no PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np

from ..models.architectures.architecture import Precision
from ..models.model_file import Model
from .backends.openvino import OpenVINONetwork
from .computer import Computer, Plan, parts, plan_on_cpu
from .tiling import apply_in_tiles


class OpenVINOComputer(Computer):
    """The first levels of a model.

    Args:
        model: not changed.
        levels: how many.
        precision: of the layers that bear it.
        threads: of the CPU; None leaves OpenVINO's number.
    """

    def __init__(self, model: Model, levels: int, precision: Precision, threads: int | None) -> None:
        super().__init__(model, levels, partial(np.concatenate, axis=1))
        self.networks = [OpenVINONetwork(*network, precision, threads) for network in self._described]
        self._not_finite = 0

    def plan(self, slices: int, rows: int, columns: int, batch_size: int | None) -> Plan:
        return plan_on_cpu(slices, rows, columns, batch_size)

    def results(
        self,
        volume: np.ndarray,
        padding: float | np.ndarray | None,
        plan: Plan,
        blend: float,
        cancel: Callable[[], bool] | None,
    ) -> Iterator[np.ndarray]:
        for part in parts(len(volume), plan.batch, cancel):
            unit = self._scale.to_unit(volume[part].astype(np.float32))[:, None]
            prediction = apply_in_tiles(self.predict, unit, plan.tile, self._halo, np.empty_like)
            self._not_finite += int(np.count_nonzero(~np.isfinite(prediction)))
            yield self._scale.to_hu_difference(prediction - unit)[:, 0] * np.float32(blend)

    def count_not_finite(self) -> int:
        return self._not_finite

    def reset(self) -> None:
        self._not_finite = 0

    def forget(self) -> None:
        """Nothing is kept beside what the next batch needs."""

    def running(self) -> AbstractContextManager[None]:
        return nullcontext()
