"""Recognise what a power loss leaves of an output: files that are empty, cut off or full of zeros."""

from __future__ import annotations

from pathlib import Path

from ...dicom.read_file import damage_in, read_with_pixels
from ...errors import InputError, LDCTDenoiseError
from ...volumes.volume_file import read_volume, volume_suffix


def is_damaged(path: Path) -> bool:
    """Whether an output file is no whole volume and no whole DICOM image, so that nothing is lost with it."""
    try:
        if volume_suffix(path):
            read_volume(path)
        else:
            with damage_in(path):
                _ = read_with_pixels(path).pixel_array
    except InputError:
        return True
    except (LDCTDenoiseError, OSError):  # nobody knows
        return False
    return False
