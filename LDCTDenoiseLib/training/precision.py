"""The precision that a level is trained in: what its configuration asks for, where the device is quick at it."""

from __future__ import annotations

import logging

import torch

from ..inference.backends.onednn import has_bfloat16

FLOAT32 = "32"
log = logging.getLogger(__name__)


def usable_precision(wanted: str, device: torch.device) -> str:
    """A name of Lightning's for the precision: float32 in place of bfloat16 on a CPU without instructions for it.

    PyTorch computes bfloat16 there too, a step then taking about six times as long as in float32.

    Args:
        wanted: as in ``LevelConfig.precision``.
        device: to train on.
    """
    if device.type != "cpu" or not wanted.startswith("bf16") or has_bfloat16():
        return wanted
    log.info("This CPU has no fast instructions for bfloat16; float32 is used.")
    return FLOAT32
