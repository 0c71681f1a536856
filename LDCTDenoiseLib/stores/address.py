"""Addresses of what lies in a store, such as ``s3://bucket/ct/1.nrrd``, as against paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import InputError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_WEB = ("http", "https")


@dataclass(frozen=True)
class Address:
    """A place in a store.

    Attributes:
        url: without a slash at its end.

    Raises:
        InputError: it holds a password, which would show in every message about it, or it is none.
    """

    url: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url.rstrip("/"))
        try:
            parts = urlsplit(self.url)
        except ValueError as error:  # its text may hold the password
            raise InputError(f"The server in an address ({self.scheme}://...) cannot be understood; correct it.") from error
        if "@" in parts.netloc or (self.is_web and parts.query):
            raise InputError(
                f"An address ({self.scheme}://...) holds a password or a token; give it in the environment, a profile or "
                "~/.netrc, and the address without it."
            )

    @property
    def scheme(self) -> str:
        """What stands before the colon, in small letters."""
        return self.url.partition(":")[0].lower()

    @property
    def is_web(self) -> bool:
        """Whether it is on a web server: there, only DICOMweb is spoken."""
        return self.scheme in _WEB

    @property
    def name(self) -> str:
        """Its last part."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> Address:
        """The folder that it lies in."""
        return Address(self.url.rpartition("/")[0])

    def __truediv__(self, inside: str) -> Address:
        return Address(f"{self.url}/{inside}")

    def __str__(self) -> str:
        return self.url


def is_address(text: str) -> bool:
    """Whether a text is an address, and no path."""
    return bool(_ADDRESS.match(text))


def place(text: str) -> Path | Address:
    """A path, or the address that a text is.

    Examples:
        >>> place("s3://bucket/ct/")
        Address(url='s3://bucket/ct')

    Raises:
        InputError: an address that holds a password.
    """
    return Address(text) if is_address(text) else Path(text)
