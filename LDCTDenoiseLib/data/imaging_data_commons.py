"""The low- and full-dose images of LDCT-and-Projection-data (doi 10.7937/9npb-2637) from the Imaging Data Commons.

CC BY 4.0, no account needed. The collection's projections, 26 times as large, and patients without low dose are left out.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..dicom.read_file import read_header
from ..errors import InputError, OutputError
from ..system.extras import require_extra

log = logging.getLogger(__name__)

COLLECTION = "ldct_and_projection_data"
LOW, FULL = "Low Dose Images", "Full Dose Images"
ANATOMIES = {"abdomen": "L", "chest": "C"}
"""Anatomies and the first letter of their patients' names."""
LAYOUT = "%collection_id/%PatientID/%StudyInstanceUID/%Modality_%SeriesInstanceUID"
"""Folders of a series, in the words of idc-index."""


@dataclass(frozen=True)
class Series:
    """A series of the collection.

    Attributes:
        patient: PatientID.
        study, uid: StudyInstanceUID and SeriesInstanceUID.
        description: "Low Dose Images" or "Full Dose Images".
        slices: how many files.
        size: of all files, bytes.
    """

    patient: str
    study: str
    uid: str
    description: str
    slices: int
    size: int

    def folder(self, out: Path) -> Path:
        """Where its files go below the download's folder."""
        return out / COLLECTION / self.patient / self.study / f"CT_{self.uid}"


Fetcher = Callable[[Sequence[Series], Path], None]
"""Brings the files of some series into their folders; those that are whole already may be left alone."""


def list_series() -> list[Series]:
    """The series of all patients that have both doses, low and full dose of a patient one after the other.

    From the index that comes with the package idc-index-data: no network is needed.

    Raises:
        MissingExtraError: the ``train`` extra is not installed.
    """
    with require_extra("train"):
        import idc_index_data
        import pandas
    columns = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesDescription", "instanceCount", "series_size_MB"]
    filters = [("collection_id", "==", COLLECTION), ("Modality", "==", "CT"), ("SeriesDescription", "in", [LOW, FULL])]
    table = pandas.read_parquet(idc_index_data.IDC_INDEX_PARQUET_FILEPATH, columns=columns, filters=filters)
    found = [
        Series(patient, study, uid, description, int(slices), round(float(megabytes) * 10**6))
        for patient, study, uid, description, slices, megabytes in table.itertuples(index=False, name=None)
    ]
    both = {one.patient for one in found if one.description == LOW} & {one.patient for one in found if one.description == FULL}
    return sorted((one for one in found if one.patient in both), key=lambda one: (one.patient, one.description == FULL))


def select(
    series: Sequence[Series], *, anatomies: Collection[str] = tuple(ANATOMIES), patients: Collection[str] = ()
) -> list[Series]:
    """The series of some anatomies, or of some patients.

    Raises:
        InputError: a patient is not in the collection, or has no low dose.
    """
    known = {one.patient for one in series}
    unknown = sorted(set(patients) - known)
    if unknown:
        raise InputError(f"The collection has no patient {unknown[0]} with low-dose images; names are like L004 and C002.")
    letters = {ANATOMIES[anatomy] for anatomy in anatomies}
    return [one for one in series if (one.patient in patients if patients else one.patient[0] in letters)]


def fetch_from_commons(series: Sequence[Series], out: Path) -> None:
    """The :data:`Fetcher` of the real download: idc-index, which passes the work to s5cmd."""
    with require_extra("train"):
        from idc_index import IDCClient
    logging.getLogger("idc_index").setLevel(logging.WARNING)
    IDCClient.client().download_from_selection(
        downloadDir=str(out),
        seriesInstanceUID=[one.uid for one in series],
        dirTemplate=LAYOUT,
        use_s5cmd_sync=True,  # goes on where an earlier download ended
        quiet=True,
        show_progress_bar=False,
    )


def download(series: Sequence[Series], out: Path, *, fetch: Fetcher = fetch_from_commons, progress: bool = True) -> None:
    """Download series, verify them, and go on where an earlier download ended.

    Args:
        series: which.
        out: folder; made if it is missing.
        fetch: how files are brought.
        progress: show a progress bar.

    Raises:
        InputError: no space, no network, or files that did not arrive whole.
    """
    missing = [one for one in series if not is_whole(one, out)]
    try:
        out.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out).free
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made ({error.strerror}); choose another folder.") from error
    needed = sum(one.size for one in missing)
    if needed > free:
        raise InputError(f"{out} has {in_gb(free)} free and {in_gb(needed)} are needed; free space, or choose fewer patients.")
    bar = tqdm(total=sum(one.size for one in series), unit="B", unit_scale=True, disable=not progress)
    bar.update(bar.total - needed)
    by_patient: dict[str, list[Series]] = {}
    for one in missing:
        by_patient.setdefault(one.patient, []).append(one)
    failed = []
    with bar:
        for patient, parts in by_patient.items():
            bar.set_description(patient)
            for one in parts:
                _remove_damaged(one, out)
            try:
                fetch(parts, out)
            except Exception as error:  # of many kinds, from idc-index and what it uses
                raise InputError(
                    f"The download of {patient} failed ({type(error).__name__}: {error}); make sure of the network, and run the "
                    "same command again: it goes on from here."
                ) from error
            failed += [one for one in parts if not is_whole(one, out)]
            bar.update(sum(one.size for one in parts if one not in failed))
    if failed:
        raise InputError(
            f"{len(failed)} of {len(series)} series did not arrive whole, the first of patient {failed[0].patient}; make sure of "
            "the network, and run the same command again: it goes on from here."
        )


def is_whole(series: Series, out: Path) -> bool:
    """Whether all files of a series are there, of the right size in all, and each of this series."""
    files = _files(series, out)
    if len(files) != series.slices or sum(file.stat().st_size for file in files) != series.size:
        return False
    return all(_series_of(file) == series.uid for file in files)


def _remove_damaged(series: Series, out: Path) -> None:
    """Remove files that are not the series' own: a fetcher may take them for done by their size."""
    for file in _files(series, out):
        if _series_of(file) != series.uid:
            log.warning("%s is damaged; it is downloaded again.", file)
            file.unlink()


def _files(series: Series, out: Path) -> list[Path]:
    folder = series.folder(out)
    return sorted(folder.glob("*.dcm")) if folder.is_dir() else []


def _series_of(file: Path) -> str | None:
    try:
        header = read_header(file, ["SeriesInstanceUID"])
    except InputError:
        return None
    return None if header is None else str(header.get("SeriesInstanceUID"))


def in_gb(size: int) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.1f} GB"
