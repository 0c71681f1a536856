"""``slicer.packaging`` of Slicer 5.12 and newer: checks for real, asks for real, but records installs instead of making them.

A test says what an install does: ``application.installs.fail = True`` makes pip fail.
"""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import slicer.util
from packaging.requirements import InvalidRequirement, Requirement

from .installs import installs

_Requirements = str | Requirement | list


def load_requirements(path: str | Path) -> list[Requirement]:
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def pip_check(req: _Requirements) -> bool:
    """Extras are not looked into."""
    return all(_satisfied(requirement) for requirement in _listed(req))


def pip_ensure(
    requirements: _Requirements,
    constraints: str | Path | None = None,
    skip_packages: list[str] | None = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> list[str] | None:
    """RuntimeError if the user declines, CalledProcessError if pip fails; nothing happens in testing mode."""
    missing = [requirement for requirement in _listed(requirements) if not _satisfied(requirement)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return None
    if prompt_install:
        title = "Install Python Packages" if requester is None else f"{requester} - Install Python Packages"
        text = (
            f"{len(missing)} Python package(s) need to be installed.\n\nThis will modify Slicer's Python environment. Continue?"
        )
        if not slicer.util.confirmOkCancelDisplay(text, title, detailedText="\n".join(map(str, missing))):
            raise RuntimeError("User declined package installation")
    pip_install([str(requirement) for requirement in missing], constraints=constraints, requester=requester)
    return None


def pip_install(
    requirements: str | list[str],
    constraints: str | Path | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
) -> None:
    command = requirements if isinstance(requirements, str) else " ".join(requirements)
    try:
        installs.pip(command)
    except subprocess.CalledProcessError:
        if show_progress:
            slicer.util.errorDisplay("Package installation failed.")
        raise


def _listed(requirements: _Requirements) -> list[Requirement]:
    if isinstance(requirements, Requirement):
        return [requirements]
    if isinstance(requirements, list):
        return [item if isinstance(item, Requirement) else Requirement(item) for item in requirements]
    if not isinstance(requirements, str):
        raise TypeError(f"Expected str, Requirement, or list, got {type(requirements).__name__}")
    try:
        return [Requirement(requirements)]
    except InvalidRequirement:
        return [Requirement(item) for item in requirements.split()]


def _satisfied(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    if requirement.name in installs.absent:
        return False
    try:
        return metadata.version(requirement.name) in requirement.specifier
    except metadata.PackageNotFoundError:
        return False
