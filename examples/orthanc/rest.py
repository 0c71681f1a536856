"""Orthanc's REST API, as far as the recipe needs it."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from LDCTDenoiseLib.errors import InputError, LDCTDenoiseError

TIMEOUT_SECONDS = 120
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WAIT = (502, 503, 504)
CREDENTIALS = (401, 403)
"""What HTTP answers when user or password are wrong."""


class OrthancError(LDCTDenoiseError):
    """Orthanc refused a request.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, path: str) -> None:
        self.status = status
        hint = "; check the credentials" if status in CREDENTIALS else ""
        super().__init__(f"Orthanc answered {path} with status {status}{hint}.")


class NotStoredError(LDCTDenoiseError):
    """Orthanc did not take an image: its disk is full, or a filter rejects it."""


class UnreachableError(LDCTDenoiseError):
    """Orthanc does not answer: it is stopped, starting, or too busy."""


class Orthanc:
    """A connection to an Orthanc server.

    Args:
        url: such as "http://127.0.0.1:8042".
        credentials: a JSON file with "RegisteredUsers", as Orthanc reads it; the first user is taken.
        authority: a PEM file with the certificate that Orthanc's is signed by, its own for instance; None trusts the system's.

    Raises:
        InputError: a file is not such a file, or the password would travel in clear text.
    """

    def __init__(self, url: str, credentials: Path, authority: Path | None = None) -> None:
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
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        try:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority)))
        except OSError as error:
            raise InputError(f"{authority} is no certificate that can be read; give a PEM file.") from error
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str) -> Any:
        """The answer's JSON.

        Raises:
            OrthancError: refused.
            UnreachableError: no answer.
        """
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str) -> bytes:
        """The answer as it is; raises as :meth:`get`."""
        return self._ask(path)

    def store(self, dicom: bytes) -> bool:
        """Store a DICOM file; false when it is there already.

        Raises:
            NotStoredError: any other answer.
            OrthancError: the credentials are not accepted.
            UnreachableError: no answer.
        """
        try:
            answer = json.loads(self._ask("/instances", dicom, "application/dicom"))
            status = answer["Status"]
        except OrthancError as error:
            if error.status in CREDENTIALS:
                raise
            raise NotStoredError(f"status {error.status}") from error
        except (ValueError, LookupError, TypeError) as error:
            raise NotStoredError("an answer that is none of its own") from error
        if status not in ("Success", "AlreadyStored"):
            raise NotStoredError(str(status))
        return bool(status == "Success")

    def images_of(self, series: str) -> set[str]:
        """SOPInstanceUIDs of the images of a series that are in Orthanc. Raises as :meth:`get`.

        Args:
            series: SeriesInstanceUID.
        """
        found = json.loads(self._ask("/tools/lookup", series.encode(), "text/plain"))
        ids = [one["ID"] for one in found if one["Type"] == "Series"]
        return {image["MainDicomTags"]["SOPInstanceUID"] for one in ids for image in self.get(f"/series/{one}/instances")}

    def _ask(self, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        headers = {"Authorization": self._authorization}
        if kind:
            headers["Content-Type"] = kind
        request = urllib.request.Request(self._url + path, body, headers)
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code in _WAIT:
                raise UnreachableError(f"Orthanc is busy (status {error.code}).") from error
            raise OrthancError(error.code, path) from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                raise InputError(f"The certificate of {self._url} is not trusted; give the file of its own with --ca.") from error
            raise UnreachableError("Orthanc does not answer.") from error
