"""Checkpoints that are whole or absent, also when the disk is full or the process is killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from ..errors import TrainingError
from ..system.files import replace_when_complete


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the old checkpoint and renames; Lightning's way copies over it where /tmp is another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with replace_when_complete(Path(path)) as temporary, temporary.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # what torch makes of a full disk
                raise TrainingError(
                    f"The checkpoint {path} cannot be written ({str(error).splitlines()[0].rstrip('.')}); the last one is kept. "
                    "Free disk space."
                ) from error
