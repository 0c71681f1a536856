"""The command line whose workers are slow, tell what they publish, and end on poison: what ``test_ray.py`` starts and kills."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from LDCTDenoiseLib.denoising.batch import item_worker, one_item
from LDCTDenoiseLib.denoising.batch.records import Record, Records

POISON_HU = 3000
PUBLISHED = "published.log"


class DeadlyDenoiser:
    """Ends its process on some voxels, as a fault of a GPU does."""

    def __init__(self, denoiser: Any) -> None:
        self._denoiser = denoiser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._denoiser, name)

    def __call__(self, hu: np.ndarray, **options: Any) -> np.ndarray:
        time.sleep(0.3)
        if hu.max() == POISON_HU:
            os.kill(os.getpid(), signal.SIGKILL)
        return self._denoiser(hu, **options)


class TellingRecords(Records):
    """Logs every record that says that an output is done."""

    def write(self, output: Path, record: Record) -> None:
        super().write(output, record)
        if record.output:
            with (self._folder.parent / PUBLISHED).open("a") as log:
                log.write(f"{output}\n")


class TestedWorker(item_worker.ClusterWorker):
    def __init__(self, plan: item_worker.Plan) -> None:
        super().__init__(plan)
        self._options = replace(self._options, denoiser=DeadlyDenoiser(self._options.denoiser))  # type: ignore[arg-type]
        one_item.Records = TellingRecords  # type: ignore[misc]


if __name__ == "__main__":
    from LDCTDenoiseLib.commands.command_line import main
    from Testing.denoising import ray_driver  # as workers import it

    item_worker.ClusterWorker = ray_driver.TestedWorker  # type: ignore[misc]
    sys.exit(main())
