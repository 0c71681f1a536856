"""A CT series read from DICOM: its slices in order, and their HU."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder, iter_pixels
from pydicom.uid import UID

from ..errors import Code, DamagedError, InputError, counted
from ..system.files import unchanged
from ..system.memory import check_memory
from .arrange import Acquisition, arrange, name_of, what_is_missing
from .find_series import MULTI_FRAME_CLASSES, SeriesFiles, check_one_series, check_series, choose_series
from .multi_frame import frame_headers
from .read_file import damage_in, read_header, read_with_pixels
from .slices import Slice, read_slice

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CTSeries:
    """Slices with their voxels.

    Attributes:
        acquisitions: one, or several that share a series; the slices of each by position.
        hu: (slices, rows, columns) of all acquisitions one after the other, in the smallest of int16, int32 and float32
            that holds them exactly (float32: to its precision).
        padding: boolean, as ``hu``: voxels that the header calls padding; None when it names none.
    """

    acquisitions: list[Acquisition]
    hu: np.ndarray
    padding: np.ndarray | None

    @property
    def slices(self) -> list[Slice]:
        """In the order of ``hu``."""
        return [one for acquisition in self.acquisitions for one in acquisition.slices]


class _UnreadablePixelsError(DamagedError):
    """The pixels of one file cannot be decoded.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path, sentence: str) -> None:
        self.path = path
        super().__init__(sentence, Code.UNREADABLE)


def read_ct_series(
    source: Path | SeriesFiles, uid: str | None = None, *, force: bool = False, allow_missing: bool = False
) -> CTSeries:
    """Read a CT series whose slices need not make a volume: gaps and tilt are left to the caller.

    Args:
        source: a folder with DICOM files, a DICOMDIR, one DICOM file, or a series that was found before.
        uid: SeriesInstanceUID; needed when there are several CT series.
        force: take another modality, or values that are not HU, for CT in HU.
        allow_missing: leave out what may be slices and cannot be read.

    Raises:
        InputError: no CT series, several without a choice, a damaged file, images at one place, or files that came or went
            meanwhile.
    """
    files = source
    if not isinstance(files, SeriesFiles):
        files = choose_series(files, uid, force=force, allow_missing=allow_missing)
    check_series(files, force=force, allow_missing=allow_missing)
    with ExitStack() as stack:
        # Headers and pixels are read one after the other: what changes between may be half old, half new.
        for path in files.paths:
            stack.enter_context(unchanged(path))
        slices = read_slices(files, force=force)
        if not slices[0].header.get("SeriesInstanceUID"):
            log.warning("The images have no SeriesInstanceUID; those of one patient, study and number are taken for a series.")
        if missing := what_is_missing(slices, len(files.paths) + files.others):
            log.warning("%s.", missing[0].upper() + missing[1:])
        series = _read_what_can_be(slices, allow_missing=allow_missing)
    if files.listing is not None:
        files.listing.check_unchanged()
    return series


def _read_what_can_be(slices: list[Slice], *, allow_missing: bool) -> CTSeries:
    """Slices as a series, without those whose pixels cannot be decoded if that is allowed."""
    while True:
        try:
            acquisitions = arrange(without_copies(slices))
            return CTSeries(acquisitions, *_read_hu([one for acquisition in acquisitions for one in acquisition.slices]))
        except _UnreadablePixelsError as error:
            left = [one for one in slices if one.path != error.path]
            if not allow_missing or not left:
                raise
            log.warning("Left out: %s", error)
            slices = left


def read_slices(series: SeriesFiles, *, force: bool = False) -> list[Slice]:
    """The slices of all files of a series, without pixels, in the order of the files.

    Raises:
        InputError: a file is damaged or lacks what a slice needs, or is of another series by now.
    """
    headers = []
    for path in series.paths:
        header = read_header(path)
        if header is None:
            raise InputError(f"{path.name} changed while it was read; wait until the series is complete.")
        headers.append((path, header))
    check_one_series(headers, series)
    slices = []
    for path, header in headers:
        if header.get("SOPClassUID") in MULTI_FRAME_CLASSES:
            for frame, one in enumerate(_frames(header, path)):
                slices.append(read_slice(one, path, frame, source_class=str(header.SOPClassUID), force=force))
        elif int(header.get("NumberOfFrames") or 1) > 1:
            raise InputError(f"{path.name} is multi-frame but not enhanced CT; convert it to single frames.")
        else:
            slices.append(read_slice(header, path, force=force))
    return slices


def _frames(header: Dataset, path: Path) -> list[Dataset]:
    with damage_in(path):
        return list(frame_headers(header, path))


def without_copies(slices: list[Slice]) -> list[Slice]:
    """One of each image: the same SOPInstanceUID at the same place with the same pixels is a copy."""
    first: dict[tuple[object, ...], Slice] = {}
    uids: set[tuple[str, int | None]] = set()
    kept: list[Slice] = []
    shared = 0
    for one in slices:
        uid = str(one.header.get("SOPInstanceUID") or "")
        other = first.setdefault((uid, one.frame, *one.position), one)
        if uid and other is not one:
            _check_copy(one, other)
            continue
        shared += bool(uid) and (uid, one.frame) in uids
        uids.add((uid, one.frame))
        kept.append(one)
    copies = len(slices) - len(kept)
    if copies:
        log.warning("Left out: %s of images.", counted(copies, "second copy", "second copies"))
    if shared:
        log.warning("The SOPInstanceUID of %s is that of another one at another place; all are used.", counted(shared, "image"))
    return kept


def _check_copy(one: Slice, other: Slice) -> None:
    """Make sure that two images of one SOPInstanceUID and place have the same pixels.

    Raises:
        InputError: they differ.
    """
    (_, pixels), (_, again) = next(_stored([other])), next(_stored([one]))
    if not np.array_equal(pixels, again):
        raise InputError(
            f"{other.path.name} and {one.path.name} have the same SOPInstanceUID and place and different pixels; leave one out."
        )


def _read_hu(slices: list[Slice]) -> tuple[np.ndarray, np.ndarray | None]:
    whole = all(one.rescale.whole for one in slices)
    shape = (len(slices), *slices[0].shape)
    check_memory(name_of(slices), shape, 2 if whole else 4)
    hu = np.empty(shape, np.int16 if whole else np.float32)
    padding = np.zeros(shape, bool) if any(one.padding for one in slices) else None
    place = {id(one): index for index, one in enumerate(slices)}
    by_file = sorted(slices, key=lambda one: (str(one.path), one.frame or 0))
    for _, of_file in groupby(by_file, key=lambda one: one.path):
        for one, stored in _stored(list(of_file)):
            index = place[id(one)]
            values = one.rescale.to_hu(stored)
            if whole and not _fits(values, hu.dtype):
                hu = hu.astype(np.int32)
                if not _fits(values, hu.dtype):
                    raise InputError(f"{one.path.name} has values of more than 32 bits in HU; its rescale is damaged.")
            hu[index] = values
            if padding is not None and one.padding is not None:
                padding[index] = (stored >= one.padding[0]) & (stored <= one.padding[1])
    return hu, padding


def _fits(values: np.ndarray, kind: np.dtype) -> bool:
    limits = np.iinfo(kind)
    return bool(limits.min <= values.min() and values.max() <= limits.max)


def _stored(slices: list[Slice]) -> Iterator[tuple[Slice, np.ndarray]]:
    """Slices of one file, each with its stored values, (rows, columns)."""
    path = slices[0].path
    dataset = read_with_pixels(path)
    changed = InputError(f"{path.name} changed while it was read; wait until the series is complete.")
    if dataset.get("SOPInstanceUID") != slices[0].header.get("SOPInstanceUID"):
        raise changed
    frames = iter_pixels(
        dataset, indices=[one.frame or 0 for one in slices], correct_unused_bits=all(one.unused_bits for one in slices)
    )
    for one in slices:
        stored = _next(frames, path, dataset)
        if stored.shape != one.shape:
            raise changed
        yield one, one.without_overlays(stored)


def check_pixels(path: Path) -> None:
    """Make sure that the pixels of an image can be decoded.

    Raises:
        DamagedError: it is cut off or damaged.
        InputError: it is not DICOM, or nothing here decodes it.
    """
    dataset = read_with_pixels(path)
    _next(iter_pixels(dataset), path, dataset)


def _next(frames: Iterator[np.ndarray], path: Path, dataset: Dataset) -> np.ndarray:
    try:
        return next(frames)
    except BaseException as error:  # of many kinds, by decoder; one written in Rust panics outside of Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise _undecodable(path, dataset, error) from error


def _undecodable(path: Path, dataset: Dataset, error: BaseException) -> InputError:
    syntax = UID(dataset.file_meta.get("TransferSyntaxUID") or "")
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    damaged, hint = True, "get the file again."
    if syntax.is_transfer_syntax and syntax.is_compressed:
        try:
            if not get_decoder(syntax).is_available:
                damaged, reason, hint = False, f"it needs a decoder for {syntax.name}", "pip install 'ldctdenoise[dicom]'."
        except NotImplementedError:
            damaged, reason = False, f"nothing here decodes {syntax.name}"
            hint = "convert it to uncompressed DICOM with another program."
    sentence = f"The pixels of {path.name} cannot be read ({reason.rstrip('.:')}); {hint}"
    return _UnreadablePixelsError(path, sentence) if damaged else InputError(sentence)
