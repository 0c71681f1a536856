"""Keeping patients out of logs: pydicom's warnings quote values of the header."""

from __future__ import annotations

import logging
import warnings


def silence_pydicom() -> None:
    """Keep pydicom's warnings off the screen and out of logs.

    For a process of our own (command line, worker), not for a program that uses pydicom itself.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"(pydicom|LDCTDenoiseLib\.dicom)(\.|$)")
