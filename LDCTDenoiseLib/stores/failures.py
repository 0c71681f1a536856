"""What the packages of stores raise, as one sentence each: the kind of the error, and nothing of its text.

Their texts may quote keys, tokens and addresses with signatures.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import InputError, LDCTDenoiseError, OutputError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError", "SSOTokenLoadError")
_HOW_TO_LOG_IN = {
    "s3": "AWS_PROFILE, AWS_ACCESS_KEY_ID and so on",
    "http": "a line for the server in ~/.netrc",
    "https": "a line for the server in ~/.netrc",
}


@contextmanager
def failures_of(place: object, kind: type[InputError | OutputError]) -> Iterator[None]:
    """Around the use of a store.

    Args:
        place: the address, for the sentence.
        kind: the error to raise, for a source or for a target.

    Raises:
        LDCTDenoiseError: the use failed.
    """
    try:
        yield
    except (LDCTDenoiseError, MemoryError):
        raise
    except Exception as error:  # of many kinds: each store's packages have their own
        raise kind(_sentence(str(place), error)) from error


def _sentence(place: str, error: Exception) -> str:
    name, status = type(error).__name__, _status(error)
    credentials = _HOW_TO_LOG_IN.get(place.partition(":")[0].lower(), "its own settings")
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"No space is left for {place}; free some, or give the temporary files another disk with TMPDIR."
    if name in _CREDENTIALS:
        return f"There are no credentials for {place}; set them: {credentials}."
    if isinstance(error, PermissionError) or status in (401, 403):
        return f"Access to {place} is denied; check the credentials ({credentials}) and what they allow."
    if isinstance(error, FileNotFoundError) or status == 404:
        return f"{place} is not there: no such bucket, server path or name; correct the address."
    told = f"it answered {status}" if status else name
    return f"{place} cannot be reached, or broke off ({told}); run the batch again when it works."


def _status(error: Exception) -> int | None:
    """The HTTP status in an answer that says no."""
    return getattr(getattr(error, "response", None), "status_code", None)
