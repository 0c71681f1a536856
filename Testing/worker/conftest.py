"""Fixtures of the worker's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from LDCTDenoiseLib.worker.exchange import ExchangeFolder
from Testing.worker.worker_process import WorkerSession


@pytest.fixture
def session() -> Iterator[WorkerSession]:
    """A worker, ended after the test."""
    session = WorkerSession()
    yield session
    session.client.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ExchangeFolder]:
    """An exchange folder, removed after the test."""
    folder = ExchangeFolder(tmp_path)
    yield folder
    folder.remove()
