"""Low/normal-dose pairs in a folder: DICOM of the usual public layouts, and volume files named alike.

- Imaging Data Commons: a folder per series; PatientID, and SeriesDescription "Low Dose Images" or "Full Dose Images".
- NBIA: ``L067/<study>/1.000000-Low Dose Images-12345/1-001.dcm``.
- AAPM challenge: ``L067/quarter_1mm/L067_QD_1_1.CT...IMA``; newer, ``1mm B30/quarter_1mm/L067/...``.
- ``low/`` and ``full/`` with DICOM or volume files.

Nothing is paired by the order of files: series by patient, kernel and thickness, slices by their place in the patient.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..dicom.arrange import arrange
from ..dicom.ct_series import read_slices, without_copies
from ..dicom.find_series import SeriesFiles, sort_into_series
from ..dicom.source_files import Listing, list_folders
from ..errors import InputError, counted
from ..volumes.volume_file import read_volume, volume_suffix
from .dose_roles import Dose, alike, dose_told_by, first_dose_told_by, without_dose
from .pairs_csv import Source
from .slice_places import SlicePlaces, match_slices, places_of_scan, places_of_slices

_PATIENT_OF_SET = re.compile(r"[CLN]\d{3}$")
"""Patients' names in the public sets, whose challenge files do not always tell the PatientID."""


@dataclass(frozen=True)
class FoundPair:
    """Two volumes of one scan.

    Attributes:
        patient: who.
        low, full: where the doses are.
        slices: how many slices both have.
    """

    patient: str
    low: Source
    full: Source
    slices: int


@dataclass
class FoundPairs:
    """What lies in a folder.

    Attributes:
        pairs: by patient.
        left_out: sentences: what was not used and why.
    """

    pairs: list[FoundPair] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Candidate:
    """A volume that may be one of a pair.

    Attributes:
        patient: who.
        dose: which it holds.
        kind: what else must agree: kernel and thickness of a series, the scan's name of a file; "" where it is not told.
        source: where it is.
        places: of its slices.
        name: for sentences.
    """

    patient: str
    dose: Dose
    kind: tuple[str, str]
    source: Source
    places: SlicePlaces
    name: str


def find_pairs(folder: Path) -> FoundPairs:
    """All pairs in a folder and below.

    Raises:
        InputError: there is no such folder, or no pair in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the one that holds the data.")
    found = FoundPairs()
    volumes, others = _files(folder, found)
    candidates = _volume_candidates(folder, volumes, found) + _series_candidates(folder, others, found)
    by_patient: dict[str, list[_Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_patient[candidate.patient].append(candidate)
    for patient in sorted(by_patient):
        _pair(patient, by_patient[patient], found)
    if not found.pairs:
        told = " ".join(found.left_out[:3])
        raise InputError(
            f"{folder} holds no low/normal-dose pair. {told} Name the doses by folders low/ and full/, or write the CSV by hand."
        )
    return found


def _files(folder: Path, found: FoundPairs) -> tuple[list[Path], list[Path]]:
    volumes: list[Path] = []
    others: list[Path] = []
    listing = list_folders([folder])
    found.left_out += [f"{path.relative_to(folder)}: {sentence}" for path, sentence in listing.closed.items()]
    for path in listing.files:
        if path.is_file():
            (volumes if volume_suffix(path) else others).append(path)
    return volumes, others


def _volume_candidates(folder: Path, paths: list[Path], found: FoundPairs) -> list[_Candidate]:
    candidates = []
    spelled: dict[str, str] = {}
    for path in paths:
        relative = path.relative_to(folder)
        stem = path.name[: -len(volume_suffix(path) or "")]
        folders = relative.parts[:-1]
        dose = first_dose_told_by([stem, *reversed(folders)])
        patient, scan = _patient_and_scan(folders, stem)
        if dose is None or not patient:
            found.left_out.append(f"{relative}: neither its name nor its folders tell its dose and patient.")
            continue
        try:
            places = places_of_scan(read_volume(path))
        except InputError as error:
            found.left_out.append(f"{relative}: {error}")
            continue
        patient = spelled.setdefault(alike(patient), patient)
        candidates.append(_Candidate(patient, dose, (alike(scan), ""), Source(path), places, str(relative)))
    return candidates


def _patient_and_scan(folders: Sequence[str], stem: str) -> tuple[str, str]:
    """Who, by the folders below the dose's, and which of the patient's scans; without such folders, each name is a patient."""
    below = max((number for number, name in enumerate(folders, 1) if dose_told_by(name)), default=len(folders))
    patient = _joined(folders[below:])
    return (patient, _joined([*folders[:below], stem])) if patient else (_joined([*folders, stem]), "")


def _joined(names: Sequence[str]) -> str:
    return "_".join(filter(None, map(without_dose, names)))


def _series_candidates(folder: Path, paths: list[Path], found: FoundPairs) -> list[_Candidate]:
    sorted_files = sort_into_series(Listing((), False), paths)
    found.left_out += [f"{path.relative_to(folder)}: {sentence}" for path, sentence in sorted_files.damaged.items()]
    if sorted_files.left_out:
        found.left_out.append(f"Files that are no slices: {sorted_files.left_out_in_words}.")
    series_folders = [{path.parent for path in series.paths} for series in sorted_files.series]
    candidates = []
    for index, series in enumerate(sorted_files.series):
        name = (
            f"{series.folder.relative_to(folder)} ({series.description or 'no description'}, {counted(series.images, 'slice')})"
        )
        alone = not any(
            other.is_relative_to(series.folder) for number, own in enumerate(series_folders) if number != index for other in own
        )
        try:
            candidate = _series_candidate(folder, series, name, alone)
        except InputError as error:
            found.left_out.append(f"{name}: {error}")
            continue
        if isinstance(candidate, str):
            found.left_out.append(f"{name}: {candidate}.")
        else:
            candidates.append(candidate)
    return candidates


def _series_candidate(folder: Path, series: SeriesFiles, name: str, alone: bool) -> _Candidate | str:
    """The series as a candidate, or why it is none."""
    if series.modality != "CT":
        return f"{series.modality} and not CT"
    if series.damaged:
        return f"{series.damaged[0].name} is cut off"
    first = series.paths[0]
    parts = first.relative_to(folder).parts
    # The innermost name first: it was given last. A description may speak of a protocol ("low-dose chest") and comes last.
    dose = first_dose_told_by([*reversed(parts), series.description])
    if dose is None:
        return "neither its description nor its folders tell its dose"
    slices = without_copies(read_slices(series))
    header = slices[0].header
    named = next((part for part in reversed(parts[:-1]) if _PATIENT_OF_SET.match(part)), None)
    patient = named or str(header.get("PatientID") or "").strip()
    if not patient:
        return "it has no PatientID"
    acquisitions = arrange(slices)
    if len(acquisitions) > 1:
        return f"it holds {len(acquisitions)} acquisitions"
    kernel = header.get("ConvolutionKernel") or ""
    kind = (kernel if isinstance(kernel, str) else "\\".join(kernel), _thickness(header.get("SliceThickness")))
    source = Source(series.folder, None if alone else series.uid)
    return _Candidate(patient, dose, kind, source, places_of_slices(acquisitions[0].slices), name)


def _thickness(value: object) -> str:
    try:
        return f"{float(str(value)):g} mm"
    except ValueError:  # there is none, or it is no number
        return ""


def _pair(patient: str, candidates: list[_Candidate], found: FoundPairs) -> None:
    """Pair the candidates of one patient that agree in kernel and thickness, as far as these are told."""
    low, full = ([one for one in candidates if one.dose is dose] for dose in (Dose.LOW, Dose.FULL))
    used: set[int] = set()
    for one in full:
        partners = [other for other in low if _agree(one.kind, other.kind)]
        rivals = [other for other in full if _agree(other.kind, one.kind)]
        if not partners:
            told = " ".join(filter(None, one.kind))
            found.left_out.append(f"{one.name}: patient {patient} has no low dose{' of ' + told if told else ''}.")
        elif len(partners) > 1 or len(rivals) > 1:
            names = ", ".join(other.name for other in [*rivals, *partners] if other is not one)
            found.left_out.append(f"{one.name}: it may go with several of patient {patient}: {names}.")
            used |= {id(other) for other in partners}
        else:
            used.add(id(partners[0]))
            _match(one, partners[0], found)
    for other in low:
        if id(other) not in used:
            told = " ".join(filter(None, other.kind))
            found.left_out.append(f"{other.name}: patient {patient} has no normal dose{' of ' + told if told else ''}.")


def _agree(one: tuple[str, str], other: tuple[str, str]) -> bool:
    return all(not a or not b or a == b for a, b in zip(one, other, strict=True))


def _match(full: _Candidate, low: _Candidate, found: FoundPairs) -> None:
    try:
        in_full, _ = match_slices(full.places, low.places)
    except InputError as error:
        found.left_out.append(f"{full.name} and {low.name}: patient {full.patient}: {error}.")
        return
    slices = len(in_full)
    for one in (full, low):
        lonely = len(one.places.corners) - slices
        if lonely:
            found.left_out.append(f"{one.name}: {counted(lonely, 'slice')} without a partner at the same place.")
    found.pairs.append(FoundPair(full.patient, low.source, full.source, slices))
