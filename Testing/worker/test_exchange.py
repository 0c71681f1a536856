"""The folder through which volumes reach the worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from LDCTDenoiseLib.worker import exchange


def test_a_folder_is_removed_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Freeing a large file in one go takes so long that a window stands still."""
    monkeypatch.setattr(exchange, "_REMOVED_BYTES", 1000)
    folder = exchange.ExchangeFolder(tmp_path)
    array = folder.allocate("volume", (35, 100), np.dtype(np.uint8))
    sizes = [array.path.stat().st_size for _ in folder.remove_in_steps()]
    assert sizes == [2500, 1500, 500]
    assert not list(tmp_path.iterdir())
