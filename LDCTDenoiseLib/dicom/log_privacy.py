"""Keep patients out of logs: pydicom's warnings quote values of the header, and its decoders print tracebacks."""

from __future__ import annotations

import logging
import warnings

_LOGGERS = ("pydicom", "openjpeg", "libjpeg", "pylibjpeg", "rle")
_SILENCE = logging.NullHandler()


def silence_pydicom() -> None:
    """Keep pydicom's and its decoders' messages off the screen and out of logs.

    For a process of our own (command line, worker), not for a program that uses pydicom itself.
    """
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        # Not its level, which pydicom sets when it is imported. A filter does not reach the logger's descendants, whose
        # messages end at a handler that says nothing.
        logger.addFilter(_nothing)
        logger.propagate = False
        if _SILENCE not in logger.handlers:
            logger.addHandler(_SILENCE)
    warnings.filterwarnings("ignore", module=r"(pydicom|LDCTDenoiseLib\.dicom)(\.|$)")


def _nothing(record: logging.LogRecord) -> bool:
    return False
