"""Which CT series lie in a folder, a DICOMDIR or a file, and which of them is meant."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable
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

from ..errors import Code, InputError, counted
from .derivation import is_derived
from .read_file import media_class, read_header, unreadable
from .source_files import Listing, files_of, may_be_slice

log = logging.getLogger(__name__)

MULTI_FRAME_CLASSES = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_CT_CLASSES = (CTImageStorage, *MULTI_FRAME_CLASSES)
_IDENTITY = ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate")
"""One UID for images of two patients is no series."""
_TELL_APART_WITHOUT_UID = ("SeriesNumber", "FrameOfReferenceUID")
_Kind = tuple[str, str]
"""What one file is that is no slice, and what several are."""
_NOT_DICOM = "that is not DICOM", "that are not DICOM"
_WITHOUT_IMAGE = "without image", "without image"
_COLOUR = "colour image", "colour images"
_LOCALIZER = "localizer", "localizers"
_WITHOUT_PLACE = (
    "image without a place in the patient (dose report, screenshot)",
    "images without a place in the patient (dose reports, screenshots)",
)
_NAMED = 3
"""Files that a warning names."""
_TAGS = [
    "SOPClassUID",
    "Modality",
    "SeriesDescription",
    "ImageType",
    "Rows",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "ImagePositionPatient",
    "ContributingEquipmentSequence",
    "SeriesInstanceUID",
    *_IDENTITY,
    *_TELL_APART_WITHOUT_UID,
]


def is_uid(text: str) -> bool:
    """Whether a text is of digits and dots as UIDs are, and safe as a name: it may come from a file or server of strangers."""
    return re.fullmatch(r"[0-9][0-9.]{0,63}", text) is not None


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
        others: how many more images of the series there are, such as localizers.
        derived: whether this program made it.
        listing: the folders in which it was found, as they were then.
        identity: of study and patient, as far as the headers tell.
    """

    uid: str
    modality: str
    description: str
    paths: list[Path] = field(default_factory=list)
    images: int = 0
    damaged: list[Path] = field(default_factory=list)
    others: int = 0
    derived: bool = False
    listing: Listing | None = None
    identity: tuple[str, ...] = field(default=(), repr=False)

    @property
    def folder(self) -> Path:
        """The innermost folder that holds all files."""
        return Path(os.path.commonpath([path.parent for path in self.paths + self.damaged]))

    @property
    def study(self) -> str:
        """StudyInstanceUID; "" where the headers tell none."""
        return self.identity[0]

    def __str__(self) -> str:
        kind = "" if self.modality == "CT" else f"{self.modality}, "
        return f"{self.uid or 'no UID'} ({kind}{self.description or 'no description'}, {counted(self.images, 'slice')})"


@dataclass
class FoundSeries:
    """What lies among some files.

    Attributes:
        series: those with slices, in the order of their first files.
        damaged: of each damaged file, of each that may be a damaged slice, and of each folder that cannot be looked into, the
            sentence that says so; where its series is known, that names the file too.
        left_out: how many files are no slices, by kind.
    """

    series: list[SeriesFiles]
    damaged: dict[Path, str]
    left_out: Counter[_Kind]

    @property
    def left_out_in_words(self) -> str:
        """For a message; "" when nothing was left out."""
        return ", ".join(counted(count, *kind) for kind, count in self.left_out.items())


def find_series(source: Path, *, allow_missing: bool = False) -> FoundSeries:
    """All series of a folder, searched with its sub-folders; of a DICOMDIR; or of one DICOM file.

    Args:
        source: where to look.
        allow_missing: leave out what may be slices and cannot be read.

    Raises:
        InputError: a file is damaged so that its series is unknown, or a DICOMDIR points out of its folder.
    """
    listing = files_of(source)
    found = sort_into_series(listing, listing.files)
    for series in found.series:
        series.listing = listing
    known = {path for series in found.series for path in series.damaged}
    unknown = [path for path in found.damaged if path not in known]
    if unknown and not allow_missing:
        more = f" There are {len(unknown) - 1} more like this." if len(unknown) > 1 else ""
        raise InputError(f"{found.damaged[unknown[0]]}{more}", Code.UNREADABLE)
    tell_left_out(found, unknown)
    return found


def tell_left_out(found: FoundSeries, unreadable: list[Path]) -> None:
    """Say what is no slice, and what may be one and cannot be read."""
    if found.left_out:
        log.warning("Files left out: %s.", found.left_out_in_words)
    if unreadable:
        names = ", ".join(path.name for path in unreadable[:_NAMED]) + (", ..." if len(unreadable) > _NAMED else "")
        log.warning("Left out: %d that may be slices and cannot be read (%s).", len(unreadable), names)


def sort_into_series(listing: Listing, paths: Iterable[Path]) -> FoundSeries:
    """Files of any kind by series; nothing is raised for a damaged one.

    Args:
        listing: what lies in the folders.
        paths: which of its files to sort.
    """
    by_uid: dict[tuple[str, ...], list[SeriesFiles]] = {}
    found = FoundSeries([], dict(listing.closed), Counter())
    not_dicom: list[Path] = []
    for path in paths:
        try:
            if not _sort(path, by_uid, found):
                not_dicom.append(path)
        except InputError as error:
            if isinstance(error.__cause__, OSError):  # nobody knows what it is
                not_dicom.append(path)
            else:
                found.damaged[path] = str(error)
        except Exception as error:  # of many kinds, when a value is damaged
            found.damaged[path] = str(unreadable(path, error))
    found.series = [series for known in by_uid.values() for series in known if series.paths]
    slices = [path for series in found.series for path in series.paths] + list(found.damaged)
    suffixes = {path.suffix: path for path in slices}.values()
    for path in not_dicom:
        # Where there is no slice at all, what is there is something else.
        if slices and (reason := may_be_slice(path, suffixes)):
            found.damaged[path] = str(unreadable(path, reason))
        else:
            found.left_out[_NOT_DICOM] += 1
    parts = listing.parts([path.parent for path in one.paths] for one in found.series)
    for one, part in zip(found.series, parts, strict=True):
        one.listing = part
    return found


def _sort(path: Path, by_uid: dict[tuple[str, ...], list[SeriesFiles]], found: FoundSeries) -> bool:
    """Put a file where it belongs; false when it is not DICOM."""
    header = read_header(path, _TAGS)
    if header is None:
        return False
    sop_class = media_class(header)
    if sop_class == MediaStorageDirectoryStorage:
        return True
    breaks_off = _breaks_off(header, sop_class)
    kind = None if breaks_off else _why_no_slice(header, sop_class)
    if kind == _WITHOUT_IMAGE:
        found.left_out[kind] += 1
        return True
    series = _series_of(header, by_uid)
    if kind:
        found.left_out[kind] += 1
        series.others += 1
    elif breaks_off:
        found.damaged[path] = _cut_off(path)
        series.damaged.append(path)
    else:
        series.paths.append(path)
        series.images += int(header.get("NumberOfFrames") or 1)
        series.derived = series.derived or is_derived(header)
    return True


def _series_of(header: Dataset, by_uid: dict[tuple[str, ...], list[SeriesFiles]]) -> SeriesFiles:
    """The series of an image, made if it is the first one."""
    uid = str(header.get("SeriesInstanceUID") or "")
    identity = _values(header, _IDENTITY)
    key = (uid,) if uid else (*identity, *_values(header, _TELL_APART_WITHOUT_UID))
    known = by_uid.setdefault(key, [])
    for series in known:
        if _agree(identity, series.identity):
            series.identity = tuple(one or other for one, other in zip(series.identity, identity, strict=True))
            return series
    modality = str(header.get("Modality") or "of unknown modality")
    known.append(SeriesFiles(uid, modality, str(header.get("SeriesDescription") or ""), identity=identity))
    return known[-1]


def _agree(identity: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two are of one study and patient; what one lacks is no contradiction."""
    return all(not (a and b) or a == b for a, b in zip(identity, other, strict=True))


def check_one_series(headers: Iterable[tuple[Path, Dataset]], series: SeriesFiles) -> None:
    """Make sure that images are of one series, and still of that which their files were found to be.

    Args:
        headers: by file, in the order of ``series``.
        series: as it was found; one without an identity was not searched for.

    Raises:
        InputError: of another patient, study or series.
    """
    by_uid: dict[tuple[str, ...], list[SeriesFiles]] = {}
    first: SeriesFiles | None = None
    for path, header in headers:
        own = _series_of(header, by_uid)
        first = first or own
        if series.identity and (own.uid != series.uid or not _agree(own.identity, series.identity)):
            raise InputError(f"{path.name} changed since the folder was searched; run again.")
        if own is not first:
            raise InputError(f"{path.name} is of another patient, study or series than the other files; give those of one alone.")


def _values(header: Dataset, tags: tuple[str, ...]) -> tuple[str, ...]:
    """Empty and absent are the same."""
    return tuple(str(header.get(tag) or "").strip() for tag in tags)


def _cut_off(path: Path) -> str:
    return f"{path.name} is cut off before its image; get the file again."


def choose_series(source: Path, uid: str | None = None, *, force: bool = False, allow_missing: bool = False) -> SeriesFiles:
    """The series that is meant: the one with this SeriesInstanceUID, or the only CT.

    Raises:
        InputError: none, several without a choice, or no CT without ``force``; what may be its slices cannot be read and
            ``allow_missing`` is not set.
    """
    found = find_series(source, allow_missing=allow_missing)
    ct = [one for one in found.series if one.modality == "CT"]
    if uid is not None:
        candidates = [one for one in found.series if one.uid == uid]
        if not candidates:
            raise InputError(f"{source} has no CT series {uid}; it holds {_listing(found.series) or 'none'}.")
        nameless = sum(len(one.paths) for one in found.series if not one.uid)
        if nameless:
            log.warning("Left out: %s without a SeriesInstanceUID.", counted(nameless, "image"))
    else:
        candidates = ct or found.series
        if not candidates:
            told = f" (files left out: {found.left_out_in_words})" if found.left_out else ""
            raise InputError(f"{source} holds no CT slice in DICOM{told}; give the folder of a CT series or a volume file.")
        if not ct and not force:
            raise InputError(f"{source} contains no CT series, only {_listing(found.series)}.", Code.NOT_CT)
    if uid is None and ct and len(found.series) > len(ct):
        log.warning("Left out: %d series that are not CT.", len(found.series) - len(ct))
    if len(candidates) > 1:
        if len({one.uid for one in candidates}) == 1:
            raise InputError(
                f"{source} holds images of {len(candidates)} patients, studies or series that have "
                f"{'one' if candidates[0].uid else 'no'} SeriesInstanceUID; give the files of one alone."
            )
        raise InputError(f"{source} holds {len(candidates)} CT series; choose one: {_listing(candidates)}.", Code.SEVERAL_SERIES)
    return candidates[0]


def check_series(series: SeriesFiles, *, force: bool = False, allow_missing: bool = False) -> None:
    """Make sure that a series is CT and its files are whole as far as their headers go; say what is missing.

    Raises:
        InputError: another modality without ``force``, or a file is cut off and ``allow_missing`` is not set.
    """
    if series.modality != "CT" and not force:
        raise InputError(f"The series is {series.modality} and not CT.", Code.NOT_CT)
    if series.damaged and not allow_missing:
        raise InputError(_cut_off(series.damaged[0]), Code.UNREADABLE)
    if series.damaged:
        log.warning("Left out: %s of the series, cut off before the image.", counted(len(series.damaged), "file"))


def _listing(found: list[SeriesFiles]) -> str:
    return "; ".join(map(str, found))


def _breaks_off(header: Dataset, sop_class: UID | None) -> bool:
    """Whether a file that should hold a CT image, or could, ends before its description of the image."""
    told = sop_class and header.file_meta.get("TransferSyntaxUID")
    return header.get("Rows") is None and (not told or sop_class in _CT_CLASSES)


def _why_no_slice(header: Dataset, sop_class: UID | None) -> _Kind | None:
    """As what a whole DICOM file is no slice of a CT; None when it is one."""
    if header.get("Rows") is None:
        return _WITHOUT_IMAGE
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if (header.get("SamplesPerPixel") or 1) > 1 or not photometric.startswith("MONOCHROME"):
        return _COLOUR
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return _LOCALIZER
    if sop_class not in _CT_CLASSES and header.get("ImagePositionPatient") is None:
        return _WITHOUT_PLACE
    return None
