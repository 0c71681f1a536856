"""Which CT series lie in a folder, a DICOMDIR or a file, and which of them is meant."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
)

from ..errors import Code, InputError
from ..system.work_folder import is_work_folder
from .read_file import read_header, unreadable

log = logging.getLogger(__name__)

MULTI_FRAME_CLASSES = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_CT_CLASSES = (CTImageStorage, *MULTI_FRAME_CLASSES)
_TAGS = [
    "SOPClassUID",
    "Modality",
    "SeriesInstanceUID",
    "SeriesDescription",
    "ImageType",
    "Rows",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "ImagePositionPatient",
]


@dataclass
class SeriesFiles:
    """The image files of one series.

    Attributes:
        uid: SeriesInstanceUID.
        modality: "CT", or what a run with ``force`` takes for it.
        description: SeriesDescription.
        paths: by name; localizers, colour images and dose reports are not among them.
        images: how many slices they hold.
        damaged: files of the series that break off before their image.
    """

    uid: str
    modality: str
    description: str
    paths: list[Path] = field(default_factory=list)
    images: int = 0
    damaged: list[Path] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The innermost folder that holds all files."""
        return Path(os.path.commonpath([path.parent for path in self.paths + self.damaged]))

    def __str__(self) -> str:
        kind = "" if self.modality == "CT" else f"{self.modality}, "
        return f"{self.uid} ({kind}{self.description or 'no description'}, {self.images} slices)"


@dataclass
class FoundSeries:
    """What lies among some files.

    Attributes:
        series: those with slices, in the order of their first files.
        damaged: of each damaged file, the sentence that says so; where its series is known, that names the file too.
        left_out: how many files are no slices, by kind.
    """

    series: list[SeriesFiles]
    damaged: dict[Path, str]
    left_out: Counter[str]

    @property
    def left_out_in_words(self) -> str:
        """For a message; "" when nothing was left out."""
        return ", ".join(f"{count} {kind}" for kind, count in self.left_out.items())


def find_series(source: Path) -> FoundSeries:
    """All series of a folder, searched with its sub-folders; of a DICOMDIR; or of one DICOM file.

    Raises:
        InputError: a file is damaged so that its series is unknown, or a DICOMDIR points out of its folder.
    """
    found = sort_into_series(_files(source))
    known = {path for series in found.series for path in series.damaged}
    for path, sentence in found.damaged.items():
        if path not in known:
            raise InputError(sentence)
    if found.left_out:
        log.info("Files left out: %s.", found.left_out_in_words)
    return found


def sort_into_series(paths: Iterable[Path]) -> FoundSeries:
    """Files of any kind by series; nothing is raised for a damaged one."""
    by_uid: dict[str, SeriesFiles] = {}
    found = FoundSeries([], {}, Counter())
    for path in paths:
        try:
            _sort(path, by_uid, found)
        except InputError as error:
            found.damaged[path] = str(error)
        except Exception as error:  # of many kinds, when a value is damaged
            found.damaged[path] = str(unreadable(path, error))
    found.series = [series for series in by_uid.values() if series.paths]
    return found


def _sort(path: Path, by_uid: dict[str, SeriesFiles], found: FoundSeries) -> None:
    header = read_header(path, _TAGS)
    if header is None:
        found.left_out["that are not DICOM"] += 1
        return
    sop_class = _sop_class(header)
    if sop_class == MediaStorageDirectoryStorage:
        return
    breaks_off = _breaks_off(header, sop_class)
    reason = "" if breaks_off else _why_no_slice(header, sop_class)
    if reason:
        found.left_out[reason] += 1
        return
    uid = str(header.get("SeriesInstanceUID") or "")
    modality = str(header.get("Modality") or "of unknown modality")
    images = int(header.get("NumberOfFrames") or 1)
    series = by_uid.setdefault(uid, SeriesFiles(uid, modality, str(header.get("SeriesDescription") or "")))
    if breaks_off:
        found.damaged[path] = _cut_off(path)
        series.damaged.append(path)
    else:
        series.paths.append(path)
        series.images += images


def _cut_off(path: Path) -> str:
    return f"{path.name} is cut off before its image; get the file again, or leave it out."


def choose_series(source: Path, uid: str | None = None, *, force: bool = False) -> SeriesFiles:
    """The series that is meant: the one with this SeriesInstanceUID, or the only CT.

    Raises:
        InputError: none, several without a choice, or no CT without ``force``.
    """
    found = find_series(source)
    ct = [one for one in found.series if one.modality == "CT"]
    if uid is not None:
        candidates = [one for one in found.series if one.uid == uid]
        if not candidates:
            raise InputError(f"{source} has no CT series {uid}; it holds {_listing(found.series) or 'none'}.")
    else:
        candidates = ct or found.series
        if not candidates:
            told = f" (files left out: {found.left_out_in_words})" if found.left_out else ""
            raise InputError(f"{source} holds no CT slice in DICOM{told}; give the folder of a CT series or a volume file.")
        if not ct and not force:
            raise InputError(f"{source} holds no CT but {_listing(found.series)}.", Code.NOT_CT)
    if uid is None and ct and len(found.series) > len(ct):
        log.info("Left out: %d series that are no CT.", len(found.series) - len(ct))
    if len(candidates) > 1:
        raise InputError(f"{source} holds {len(candidates)} CT series; choose one: {_listing(candidates)}.", Code.SEVERAL_SERIES)
    return candidates[0]


def check_series(series: SeriesFiles, *, force: bool = False) -> None:
    """Make sure that a series is CT and its files are whole as far as their headers go.

    Raises:
        InputError: another modality without ``force``, or a file is cut off.
    """
    if series.modality != "CT" and not force:
        raise InputError(f"The series is {series.modality} and not CT.", Code.NOT_CT)
    if series.damaged:
        raise InputError(_cut_off(series.damaged[0]))


def _listing(found: list[SeriesFiles]) -> str:
    return "; ".join(map(str, found))


def _sop_class(header: Dataset) -> UID | None:
    # The file's own statement first: it stands before anything that may be cut off.
    return header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")


def _breaks_off(header: Dataset, sop_class: UID | None) -> bool:
    """Whether a file that should hold a CT image, or could, ends before its description of the image."""
    told = sop_class and header.file_meta.get("TransferSyntaxUID")
    return header.get("Rows") is None and (not told or sop_class in _CT_CLASSES)


def _why_no_slice(header: Dataset, sop_class: UID | None) -> str:
    """Why a whole DICOM file is no slice of a CT; "" when it is one."""
    if header.get("Rows") is None:
        return "without image"
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if (header.get("SamplesPerPixel") or 1) > 1 or not photometric.startswith("MONOCHROME"):
        return "colour images"
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "localizers"
    if sop_class not in _CT_CLASSES and header.get("ImagePositionPatient") is None:
        return "images without a place in the patient (dose reports, screenshots)"
    return ""


def _files(source: Path) -> Iterator[Path]:
    if source.is_dir():
        # What an interrupted run left behind is no input.
        files = (path for path in source.rglob("*") if path.is_file())
        yield from sorted(path for path in files if not any(map(is_work_folder, path.parents)))
        return
    header = read_header(source, ["SOPClassUID", "DirectoryRecordSequence"])
    if header is None or _sop_class(header) != MediaStorageDirectoryStorage:
        yield source
        return
    folder = source.parent.resolve()
    for record in header.get("DirectoryRecordSequence") or ():
        reference = record.get("ReferencedFileID")
        if not reference:
            continue
        parts = [reference] if isinstance(reference, str) else list(reference)
        path = _inside(folder, parts)
        if path is None:
            raise InputError(
                f"{source.name} points to a file outside its folder; it is damaged or hostile: give the folder of the images."
            )
        if not path.is_file():
            raise InputError(f"{source.name} names a file that is not there ({'/'.join(parts)}); copy the whole medium.")
        yield path


def _inside(folder: Path, parts: list[str]) -> Path | None:
    """The file that a reference names; None if it leaves the folder, by "..", an absolute path or a link."""
    if any(part in ("", ".", "..") or "/" in part or os.sep in part or ":" in part for part in parts):
        return None
    # The standard writes capitals; a copy of the medium may have small letters.
    for spelling in (parts, [part.lower() for part in parts]):
        path = folder.joinpath(*spelling)
        if not path.resolve().is_relative_to(folder):
            return None
        if path.is_file():
            break
    return path
