"""Low-dose CT denoising with the two-stage cascade of Ataei, Alirezaie and Babyn (arXiv 2006.14738).

>>> from LDCTDenoiseLib import Denoiser, load_model, simulate_low_dose
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .inference.engine import Denoiser
    from .models.model_file import load_model
    from .simulation import simulate_low_dose

__all__ = ["Denoiser", "__version__", "load_model", "simulate_low_dose"]

_HOMES = {"Denoiser": ".inference.engine", "load_model": ".models.model_file", "simulate_low_dose": ".simulation"}


def __getattr__(name: str) -> object:
    # Imported at first use: they bring torch, and the command line's help must not wait for it.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
