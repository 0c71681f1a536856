"""Sentences for arguments of another type than the functions on the front page take."""

from __future__ import annotations

import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from ..errors import InputError


def check_type(value: object, kinds: type | tuple[type, ...], what: str, needed: str) -> None:
    """Make sure that an argument is of one of the types.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, kinds):
        raise InputError(f"The {what} is a {type(value).__name__}; {needed} is needed.")


def as_path(value: Any, what: str) -> Path:
    """A path from text or a path.

    Raises:
        InputError: it is neither.
    """
    check_type(value, (str, os.PathLike), what, "a path")
    return Path(value)


def check_number(value: object, what: str) -> None:
    """Make sure that an argument is a real number.

    Raises:
        InputError: it is not.
    """
    check_type(value, Real, what, "a number")


def check_whole(value: object, what: str) -> None:
    """Make sure that an argument is a whole number, or None.

    Raises:
        InputError: it is not.
    """
    if value is not None:
        check_type(value, Integral, what, "a whole number")


def check_pair(value: Any, kind: type, what: str, needed: str) -> None:
    """Make sure that an argument is a sequence of two numbers of a type.

    Raises:
        InputError: it is not.
    """
    try:
        first, second = value
    except (TypeError, ValueError):
        raise InputError(f"The {what} is {value!r}; {needed} is needed.") from None
    if not (isinstance(first, kind) and isinstance(second, kind)):
        raise InputError(f"The {what} is {value!r}; {needed} is needed.")
