"""Optional parts of the installation, and what to say when one is missing."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ..errors import MissingExtraError


@contextmanager
def require_extra(extra: str) -> Iterator[None]:
    """Around imports that need an extra: a failed import says which extra to install.

    Raises:
        MissingExtraError: a package of the extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"This needs the package {error.name}, which is not installed: pip install 'ldctdenoise[{extra}]'."
        ) from error


def check_extra(extra: str, *packages: str) -> None:
    """Make sure before a long computation that the packages which it ends with are there.

    Raises:
        MissingExtraError: one is not installed.
    """
    with require_extra(extra):
        for package in packages:
            importlib.import_module(package)


def is_installed(package: str) -> bool:
    """Whether a package is there, good or not; does not import it, which may take seconds."""
    try:
        return find_spec(package) is not None
    except ValueError:  # marked as not to be imported
        return False


@contextmanager
def require_package(package: str) -> Iterator[None]:
    """Around imports of a package that belongs to the base, but has no wheels for every machine.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"This needs the package {error.name}, which is not installed: pip install {package}.") from error
