"""Inputs in stores: what lies below an address, the series of a study, and where the outputs of both go."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ...dicom.source_files import is_named_as_image
from ...errors import InputError
from ...stores.address import Address
from ...stores.dicomweb import DicomwebSeries, DicomwebServer, read_address
from ...stores.objects import ObjectFolder, StoredFiles, location
from ...volumes.volume_file import volume_suffix
from ..one_file import Source
from .records import FOLDER

log = logging.getLogger(__name__)

StoredSource = StoredFiles | DicomwebSeries


def find_stored(source: Address, target: Path | Address) -> dict[Path, StoredFiles]:
    """Inputs below an address, by where their outputs go: volume files, and folders that hold files named as DICOM.

    What is in the files is not looked at before they are fetched: a folder there is one series.

    Args:
        source: the address of a folder.
        target: the batch's folder; if it lies in ``source``, it is not searched.

    Raises:
        InputError: the store cannot be asked, or both are one folder.
    """
    if source.is_web:
        raise InputError(f"{source} is on a web server; name its studies or series in a CSV.")
    read, written = location(source), location(target)
    if read == written:
        raise InputError(f"Input and output are the same folder, {source}; choose another output folder.")
    objects: Iterable[PurePosixPath] = map(PurePosixPath, ObjectFolder(source).states())
    if written.is_relative_to(read):
        own = PurePosixPath(written.relative_to(read).as_posix())
        objects = (name for name in objects if own not in name.parents)
    names = [name for name in objects if FOLDER not in name.parts]
    volumes = [name for name in names if volume_suffix(name)]
    images = [name for name in names if not volume_suffix(name) and is_named_as_image(Path(name))]
    folders = sorted({name.parent for name in images})
    if others := len(names) - len(volumes) - len(images):
        log.warning("Left out: %d objects that are named neither as volume files nor as DICOM.", others)
    # As on this machine: a folder of one series becomes one, and a series among others gets a folder of its own.
    within = Counter(parent for folder in [*folders, *(name.parent for name in volumes)] for parent in (folder, *folder.parents))
    found = {Path(name): StoredFiles(source / str(name)) for name in volumes}
    for folder in folders:
        alone = folder != PurePosixPath() and within[folder] == 1
        address = source if folder == PurePosixPath() else source / str(folder)
        found[Path(folder) if alone else Path(folder) / "series"] = StoredFiles(address, recursive=False)
    return found


class Studies:
    """The CT series of studies on DICOMweb servers: each study is asked for once, for a list is read more than once."""

    def __init__(self) -> None:
        self._known: dict[Address, tuple[list[str], str]] = {}

    def series_of(self, server: DicomwebServer, study: str) -> tuple[list[str], str]:
        """SeriesInstanceUIDs of a study, and why there are none."""
        address = server.address / f"studies/{study}"
        if address not in self._known:
            try:
                found = server.ct_series(study)
                problem = "" if found else f"{address} has no CT series that this program did not make; correct the address."
                self._known[address] = found, problem
            except InputError as error:
                self._known[address] = [], str(error)
        return self._known[address]


def stored_sources(address: Address, studies: Studies) -> tuple[list[tuple[StoredSource, str]], str]:
    """The inputs that a row of a list names, each with a name below the row's output, and why there are none.

    Raises:
        InputError: the address is none of an input.
        MissingExtraError: the package for it is not installed.
    """
    if not address.is_web:
        ObjectFolder(address).check()
        return [(StoredFiles(address), "")], ""
    server, study, series = read_address(address)
    if study is None:
        raise InputError(f"{address} is a whole DICOMweb server; give a study (/studies/UID) or a series of it.")
    if series is not None:
        return [(DicomwebSeries(server, study, series), "")], ""
    found, problem = studies.series_of(server, study)
    if problem:
        return [(StoredFiles(address), "")], problem
    return [(DicomwebSeries(server, study, one), one) for one in found], ""


def server_and_name(output: Address, source: Source | StoredSource, given: str) -> tuple[DicomwebServer, Path]:
    """The DICOMweb server that a row's output names, and a name for the record, which lies elsewhere.

    Raises:
        InputError: the address is none of a DICOMweb server.
        MissingExtraError: the package for it is not installed.
    """
    if not output.is_web:
        raise InputError(
            f"The output {output} is no DICOMweb server; give a path below the batch's folder, which may be in a store."
        )
    server, study, _ = read_address(output)
    if study is not None:
        raise InputError(f"The output {output} is a study; give the server's address: images keep their study.")
    told = str(source.address) if isinstance(source, (StoredFiles, DicomwebSeries)) else given
    parts = [part.replace(":", "_") for part in f"{server.address}/{told}".replace("\\", "/").split("/")]
    return server, Path(*(part for part in parts if part not in ("", ".", "..", "http_", "https_")))
