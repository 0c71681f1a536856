"""Python packages that Slicer does not bring: through Slicer's packaging; PyTorch, for GPUs, through the PyTorch extension."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import LDCTDenoiseError

RESOURCES = Path(__file__).resolve().parent.parent / "Resources"
REQUIREMENTS = RESOURCES / "requirements.txt"
SIMULATION_REQUIREMENTS = RESOURCES / "requirements-simulation.txt"
DICOM_REQUIREMENTS = RESOURCES / "requirements-dicom.txt"
TORCH_VERSIONS = ">=2.1"


def ensurePackages(path: Path) -> None:
    """Install what a requirements file names and is missing, after asking; to be called from a handler, never at import.

    Raises:
        LDCTDenoiseError: a package is still missing; the user declined, or the installation failed.
    """
    try:
        packaging = _packaging()
        if packaging is not None:
            packaging.pip_ensure(packaging.load_requirements(str(path)), requester="LDCTDenoise")
        else:
            _ensureInOldSlicer(path)
    except Exception as error:  # declined, no network, conflicts: pip and Slicer have no common class for them
        raise LDCTDenoiseError(
            _(
                "Python packages are needed that were not installed ({reason}). Press the button again to try once more, "
                "or type in the Python console: slicer.util.pip_install({names})"
            ).format(reason=error, names=repr(" ".join(_lines(path))))
        ) from error


def _ensureInOldSlicer(path: Path) -> None:
    """Slicer 5.10 has no ``slicer.packaging``."""
    missing = [line for line in _lines(path) if importlib.util.find_spec(_importName(line)) is None]
    if not missing:
        return
    question = _("LDCT Denoise needs the Python packages {names}. Install them now?").format(names=", ".join(missing))
    if not slicer.util.confirmOkCancelDisplay(question, windowTitle=_("LDCT Denoise")):
        raise LDCTDenoiseError(_("the installation was declined"))
    slicer.util.pip_install(" ".join(missing))


def installTorch(askConfirmation: bool) -> bool:
    """Install PyTorch through the PyTorch extension, which picks the build for this machine's GPU.

    Returns:
        Whether it was installed; the user may decline.

    Raises:
        LDCTDenoiseError: the PyTorch extension is missing, or the installation failed.
    """
    try:
        import PyTorchUtils
    except ImportError as error:
        raise LDCTDenoiseError(
            _("The PyTorch extension is missing; install it in the Extensions Manager, restart Slicer and press this again.")
        ) from error
    logic = PyTorchUtils.PyTorchUtilsLogic()
    try:
        torch = logic.installTorch(askConfirmation=askConfirmation, torchVersionRequirement=TORCH_VERSIONS)
    except Exception as error:  # no network, no room, no wheel: pip has no common class for them
        raise LDCTDenoiseError(
            _(
                "PyTorch could not be installed ({reason}). Slicer's log says why; the module PyTorch Utils has other versions."
            ).format(reason=error)
        ) from error
    return torch is not None


def _packaging() -> Any:
    try:
        import slicer.packaging
    except ImportError:
        return None
    return slicer.packaging


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]


def _importName(requirement: str) -> str:
    return requirement.split(">")[0].split("=")[0].strip()
