"""The folder through which volumes reach the worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from LDCTDenoiseLib.worker import exchange
from Testing.conftest import REPOSITORY


def test_a_folder_is_removed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Freeing a large file in one go takes so long that a window stands still."""
    monkeypatch.setattr(exchange, "_REMOVED_BYTES", 1000)
    folder = exchange.ExchangeFolder(tmp_path)
    array = folder.allocate("volume", (35, 100), np.dtype(np.uint8))
    sizes = [array.path.stat().st_size for _ in folder.remove_in_steps()]
    assert sizes == [2500, 1500, 500]
    assert not list(tmp_path.iterdir())


ABANDONED = """
import os, signal, sys
from LDCTDenoiseLib.worker.exchange import ExchangeFolder
ExchangeFolder(sys.argv[1])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process started")
def test_the_folder_of_a_dead_owner_goes_at_once_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    mine = exchange.ExchangeFolder(tmp_path)
    os.utime(mine.path / "owner.json", (0, 0))
    os.utime(mine.path, (0, 0))  # a computation of more than a day
    subprocess.run([sys.executable, "-c", ABANDONED, tmp_path], cwd=REPOSITORY, check=False, timeout=60)
    assert len(list(tmp_path.iterdir())) == 2
    exchange.remove_stale(tmp_path)
    assert list(tmp_path.iterdir()) == [mine.path]
