"""Keeping patients out of logs: pydicom's warnings quote values of the header."""

from __future__ import annotations

import logging
import warnings


def silence_pydicom() -> None:
    """Keep pydicom's warnings off the screen and out of logs.

    For a process of our own (command line, worker), not for a program that uses pydicom itself.
    """
    logging.getLogger("pydicom").addFilter(_nothing)  # not its level, which pydicom sets when it is imported
    warnings.filterwarnings("ignore", module=r"(pydicom|LDCTDenoiseLib\.dicom)(\.|$)")


def _nothing(record: logging.LogRecord) -> bool:
    return False
