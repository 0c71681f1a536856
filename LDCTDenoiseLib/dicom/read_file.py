"""Reading one DICOM file; the one place where files of strangers are opened.

Errors name the file and what is wrong with it, never a value of its header: that may be a patient's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from ..errors import Code, DamagedError, InputError, LDCTDenoiseError
from ..system.files import check_regular
from .compression_limits import check_inflated_size, check_picture_sizes
from .text_bytes import decode_all


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM files do: 128 bytes, then "DICM"."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError as error:
        raise unreadable(path, error) from error


def read_header(path: Path, tags: Sequence[str] | None = None) -> Dataset | None:
    """The header, or only some of its tags; None when the file is not DICOM.

    Raises:
        InputError: the file is damaged or cannot be opened.
    """
    check_regular(path)
    try:
        check_inflated_size(path)
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=None if tags is None else list(tags))
        decode_all(header)
        _complete(header)
    except InvalidDicomError:
        return None
    except InputError:
        raise
    except Exception as error:  # of many kinds, when a header is damaged
        raise unreadable(path, error) from error
    return header


def read_with_pixels(path: Path) -> Dataset:
    """The whole file, pixels still encoded.

    Raises:
        InputError: the file is damaged or cannot be opened, or unpacks to more than it claims.
    """
    check_regular(path)
    try:
        check_inflated_size(path)
        dataset = pydicom.dcmread(path)
        _complete(dataset)
        if "PixelData" in dataset:
            check_picture_sizes(dataset, path)
        return dataset
    except InputError:
        raise
    except Exception as error:  # of many kinds, when a header is damaged
        raise unreadable(path, error) from error


def _complete(dataset: Dataset) -> None:
    """Give an image the UIDs of its file where it lacks them, as badly de-identified images do."""
    for tag in ("SOPClassUID", "SOPInstanceUID"):
        uid = dataset.file_meta.get(f"MediaStorage{tag}")
        if uid and not dataset.get(tag):
            setattr(dataset, tag, uid)


def media_class(header: Dataset) -> UID | None:
    """SOPClassUID of a file: its own statement first, which stands before anything that may be cut off."""
    return header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")


@contextmanager
def damage_in(path: Path) -> Iterator[None]:
    """Around the understanding of a file's values: what a damaged one raises becomes the sentence about the file.

    Raises:
        InputError: a value is damaged.
    """
    try:
        yield
    except (LDCTDenoiseError, OSError, MemoryError):
        raise
    except Exception as error:  # of many kinds: damage knows no limits
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception | str) -> InputError:
    """The sentence about a file that cannot be opened or understood, by the error or the reason."""
    reason = "its header is damaged"
    if isinstance(error, (str, OSError)):
        reason = error if isinstance(error, str) else error.strerror or str(error)
    elif isinstance(error, InvalidDicomError):
        reason = "it is not DICOM"
    kind = InputError if isinstance(error, (str, OSError, InvalidDicomError)) else DamagedError
    return kind(f"{path.name} cannot be read ({reason}); get the file again.", Code.UNREADABLE)
