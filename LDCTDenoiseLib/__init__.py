"""Low-dose CT denoising with the two-stage cascade of Ataei, Alirezaie and Babyn (arXiv 2006.14738).

>>> from LDCTDenoiseLib import Denoiser, denoise_file, load_model, read_volume, simulate_low_dose, write_volume

Every error that is raised on purpose is an :class:`LDCTDenoiseError`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import (
    DenoisingCancelled,
    DeviceError,
    InputError,
    LDCTDenoiseError,
    MissingExtraError,
    MissingTorchError,
    ModelError,
    NotHUError,
    OutputError,
)
from .version import __version__

if TYPE_CHECKING:
    from .denoising.one_file import denoise_file
    from .inference.engine import Denoiser
    from .models.model_file import load_model
    from .simulation import simulate_low_dose
    from .volumes.volume_file import read_volume, write_volume

__all__ = [
    "Denoiser",
    "DenoisingCancelled",
    "DeviceError",
    "InputError",
    "LDCTDenoiseError",
    "MissingExtraError",
    "MissingTorchError",
    "ModelError",
    "NotHUError",
    "OutputError",
    "__version__",
    "denoise_file",
    "load_model",
    "read_volume",
    "simulate_low_dose",
    "write_volume",
]

_HOMES = {
    "Denoiser": ".inference.engine",
    "denoise_file": ".denoising.one_file",
    "load_model": ".models.model_file",
    "read_volume": ".volumes.volume_file",
    "simulate_low_dose": ".simulation",
    "write_volume": ".volumes.volume_file",
}


def __getattr__(name: str) -> object:
    # Imported at first use: they bring numpy and SimpleITK, and the command line's help must not wait for them.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
