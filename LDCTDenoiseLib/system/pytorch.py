"""PyTorch, which GPUs, training and export need and everything else does without."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import MissingTorchError
from . import extras

OLDEST = (2, 1)


def is_installed() -> bool:
    """Whether there is a PyTorch, good or not."""
    return extras.is_installed("torch")


def version() -> str | None:
    """Of PyTorch; None when it cannot be imported."""
    try:
        return str(importlib.import_module("torch").__version__)
    except (ImportError, OSError):
        return None


def problem() -> str:
    """What is wrong with PyTorch, as a sentence; empty when nothing is."""
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError as error:
        return "PyTorch is not installed." if error.name == "torch" else f"PyTorch cannot be loaded ({error})."
    except (ImportError, OSError) as error:  # OSError: a library of it is missing or broken
        return f"PyTorch cannot be loaded ({error})."
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST:
        return f"PyTorch {torch.__version__} is too old: {'.'.join(map(str, OLDEST))} or newer is needed."
    return ""


def require_torch() -> ModuleType:
    """PyTorch itself.

    Raises:
        MissingTorchError: it is missing, broken or too old; it says why.
    """
    if found := problem():
        raise MissingTorchError(found)
    return importlib.import_module("torch")
