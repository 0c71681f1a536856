"""The processes that train together, each with a share of every batch: started by Lightning, or before us by ``torchrun``."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

from ..errors import DeviceError, counted


@dataclass(frozen=True)
class Processes:
    """This process among those that train.

    Attributes:
        rank: its number.
        count: how many there are, on all machines.
        on_machine: its number on this machine.
        per_machine: how many there are on this machine.
    """

    rank: int = 0
    count: int = 1
    on_machine: int = 0
    per_machine: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def trainer_settings(self, device: torch.device) -> dict[str, Any]:
        """Lightning's settings of accelerator, devices and strategy."""
        if self.count == 1:
            one: Any = [device.index or 0] if device.type == "cuda" else 1
            return {"accelerator": "gpu" if device.type == "cuda" else device.type, "devices": one}
        return {
            "accelerator": "gpu" if device.type == "cuda" else device.type,
            "devices": self.per_machine,
            "num_nodes": self.count // self.per_machine,
            "strategy": "ddp",
        }


@contextmanager
def part_at_the_end() -> Iterator[None]:
    """Around the training: the process group that it made ends with it, and so do the group's threads.

    One that still gives back a tensor while Python ends is ended in mid-call, and C++ aborts the finished run.
    """
    found = distributed.is_initialized()
    try:
        yield
    finally:
        if distributed.is_initialized() and not found:
            distributed.destroy_process_group()
            gc.collect()  # the trainer's cycles keep the group, and with it the threads


def find_processes(devices: int) -> Processes:
    """This process's place, from what ``torchrun`` or Lightning left in the environment.

    Args:
        devices: how many processes to train with, where no ``torchrun`` says it.

    Raises:
        DeviceError: there are not that many GPUs.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        rank, count, on_machine, per_machine = (
            int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        )
        return Processes(rank, count, on_machine, per_machine)
    if devices > 1 and torch.cuda.is_available() and devices > torch.cuda.device_count():
        raise DeviceError(f"{devices} devices were asked for, and this machine has {counted(torch.cuda.device_count(), 'GPU')}.")
    rank = int(os.environ.get("LOCAL_RANK", 0)) if devices > 1 else 0
    return Processes(rank, devices, rank, devices)
