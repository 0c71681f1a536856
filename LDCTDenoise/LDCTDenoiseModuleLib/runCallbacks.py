"""Callbacks of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class RunCallbacks:
    """Who hears of a run. Exactly one of ``finished`` (result dictionary) and ``failed`` (exception) is called, once."""

    progress: Callable[[int, int], Any] = lambda done, total: None
    started: Callable[[dict[str, Any]], Any] = lambda message: None
    finished: Callable[[dict[str, Any]], Any] = lambda result: None
    failed: Callable[[Exception], Any] = lambda error: None
