"""Orthanc's REST API, as far as the recipe needs it."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from LDCTDenoiseLib.errors import InputError, LDCTDenoiseError

TIMEOUT_SECONDS = 120
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WAIT = (502, 503, 504)


class OrthancError(LDCTDenoiseError):
    """Orthanc refused a request.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, path: str) -> None:
        self.status = status
        hint = "; check the credentials" if status in (401, 403) else ""
        super().__init__(f"Orthanc answered {path} with status {status}{hint}.")


class UnreachableError(LDCTDenoiseError):
    """Orthanc does not answer: it is stopped, starting, or too busy."""


class Orthanc:
    """A connection to an Orthanc server.

    Args:
        url: such as "http://127.0.0.1:8042".
        credentials: a JSON file with "RegisteredUsers", as Orthanc reads it; the first user is taken.

    Raises:
        InputError: the file is not such a file, or the password would travel in clear text.
    """

    def __init__(self, url: str, credentials: Path) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise InputError(f"{url} would send patients and the password in clear text; give an https:// address.")
        try:
            user, password = next(iter(json.loads(credentials.read_text(encoding="utf-8"))["RegisteredUsers"].items()))
        except (OSError, ValueError, LookupError, AttributeError, StopIteration) as error:
            raise InputError(
                f'{credentials} does not hold {{"RegisteredUsers": {{"user": "password"}}}}; see README.md.'
            ) from error
        self._url = url.rstrip("/")
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        # No proxy of the environment: the images would go through it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> Any:
        """The answer's JSON.

        Raises:
            OrthancError: refused.
            UnreachableError: no answer.
        """
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        """The answer as it is; raises as :meth:`get`."""
        return self._ask(path, None)

    def store(self, dicom: bytes) -> bool:
        """Store a DICOM file; false when it is there already. Raises as :meth:`get`."""
        return bool(json.loads(self._ask("/instances", dicom))["Status"] == "Success")

    def _ask(self, path: str, body: bytes | None) -> bytes:
        headers = {"Authorization": self._authorization}
        if body is not None:
            headers["Content-Type"] = "application/dicom"
        request = urllib.request.Request(self._url + path, body, headers)
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code in _WAIT:
                raise UnreachableError(f"Orthanc is busy (status {error.code}).") from error
            raise OrthancError(error.code, path) from error
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError("Orthanc does not answer.") from error
