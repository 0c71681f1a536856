"""Recognise what a power loss leaves of an output: files that are empty, cut off or full of zeros."""

from __future__ import annotations

from pathlib import Path

from ...dicom.ct_series import check_pixels
from ...errors import DamagedError, LDCTDenoiseError
from ...volumes.volume_file import read_volume, volume_suffix

_START = 132
"""Bytes in which every format says what it is: DICOM does last, behind 128 that are zeros as a rule."""


def is_damaged(path: Path) -> bool:
    """Whether an output file has lost content, so that nothing is lost with it; what nothing here can read need not have."""
    try:
        with path.open("rb") as file:
            if not file.read(_START).strip(b"\0"):
                return True
        if volume_suffix(path):
            read_volume(path)
        else:
            check_pixels(path)
    except DamagedError:
        return True
    except (LDCTDenoiseError, OSError):  # nobody knows
        return False
    return False
