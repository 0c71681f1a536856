"""One line per epoch in ``metrics.csv``, continued when a run is resumed."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from ...system.files import replace_when_complete

FIRST_COLUMNS = ("step", "minutes", "learning_rate")


class EpochLog(Callback):
    """Writes step, minutes of training so far, learning rate, loss and validation figures at the end of every epoch.

    Lightning's own CSV logger starts an empty file when a run is resumed.

    Args:
        path: of the CSV file.

    Attributes:
        seconds: of training so far; kept in the checkpoint, so that a resumed run goes on counting.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = 0.0
        self._since = 0.0

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._since = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if not trainer.callback_metrics:
            return  # a level that was finished before this run began
        self.seconds += time.monotonic() - self._since
        if not trainer.is_global_zero:
            return
        row = {
            "step": str(trainer.global_step),
            "minutes": f"{self.seconds / 60:.2f}",
            "learning_rate": f"{trainer.optimizers[0].param_groups[0]['lr']:.3g}",
        }
        row |= {name: f"{float(value):.4g}" for name, value in sorted(trainer.callback_metrics.items())}
        # Lines from this step on belong to a stretch that was killed before its checkpoint, and was done again.
        rows = [old for old in self._rows() if int(old["step"]) < trainer.global_step]
        with replace_when_complete(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            names = dict.fromkeys(name for one in [row, *rows] for name in one)
            writer = csv.DictWriter(file, [*FIRST_COLUMNS, *(name for name in names if name not in FIRST_COLUMNS)])
            writer.writeheader()
            writer.writerows([*rows, row])

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seconds = state["seconds"]
