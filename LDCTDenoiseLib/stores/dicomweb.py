"""DICOMweb servers (PS3.18): which series a study has (QIDO-RS), fetching one (WADO-RS), and storing a derived one (STOW-RS).

Credentials are those of ~/.netrc, proxies and certificates those of the environment, as the package requests finds them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset

from ..dicom.derivation import is_derived
from ..dicom.find_series import is_uid
from ..errors import InputError, OutputError, counted
from ..system.extras import require_extra
from .address import Address
from .failures import failures_of

_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER = 10, 120
_POST_BYTES = 32 * 2**20
"""Of images in one request: servers bound what they take at once."""
_SERIES, _MODALITY, _IMAGE = "0020000E", "00080060", "00080018"
_AS_STORED = (("application/dicom", "*"),)


@dataclass(frozen=True)
class DicomwebServer:
    """A DICOMweb service.

    Attributes:
        address: its root, to which ``/studies`` is added.
    """

    address: Address

    def _client(self) -> Any:
        with require_extra("dicomweb"):
            from dicomweb_client.web import DICOMwebClient
        return DICOMwebClient(self.address.url, timeout=(_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER))

    def check(self) -> None:
        """Make sure that the package for it is installed.

        Raises:
            MissingExtraError: it is not.
        """
        self._client()

    def ct_series(self, study: str) -> list[str]:
        """SeriesInstanceUIDs of a study's CT series that this program did not make.

        Raises:
            InputError: the server does not say, or names one by what is no UID.
        """
        place = self.address / f"studies/{study}"
        with failures_of(place, InputError):
            client = self._client()
            told = _found(partial(client.search_for_series, study), _SERIES)
            series = sorted(uid for uid, one in told.items() if _value(one, _MODALITY) == "CT")
            if not all(map(is_uid, series)):
                raise InputError(f"{place} has a series whose SeriesInstanceUID is no UID; correct it on the server.")
            return [one for one in series if not self._is_derived(client, study, one)]

    def _is_derived(self, client: Any, study: str, series: str) -> bool:
        images = client.search_for_instances(study, series, limit=1)
        if not images:
            return False
        return is_derived(Dataset.from_json(client.retrieve_instance_metadata(study, series, _value(images[0], _IMAGE))))

    def images(self, study: str, series: str, kind: type[InputError | OutputError] = InputError) -> set[str]:
        """SOPInstanceUIDs of a series; none when it is not there.

        Raises:
            InputError: the server does not say; ``kind`` makes it another one.
        """
        with failures_of(self.address / f"studies/{study}/series/{series}", kind):
            return set(_found(partial(self._client().search_for_instances, study, series), _IMAGE))

    def whole(self, published: dict[str, str]) -> dict[str, str]:
        """Which of the series that :meth:`publish` told of have all of their images still.

        Raises:
            InputError: the server does not say.
        """
        found = {}
        for place, count in published.items():
            _, study, _, series = place.split("/")
            if _count(self.images(study, series)) == count:
                found[place] = count
        return found

    def publish(self, files: list[Path], begin: Callable[[], object]) -> dict[str, str]:
        """Store images that are not there yet, and make sure that all are then.

        Args:
            files: of DICOM images.
            begin: called before the first is stored.

        Returns:
            How many images each series has, by its path on the server.

        Raises:
            OutputError: the server does not take them all.
        """
        by_series: dict[tuple[str, str], dict[str, Path]] = {}
        for path in files:
            header = pydicom.dcmread(path, specific_tags=["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
            images = by_series.setdefault((str(header.StudyInstanceUID), str(header.SeriesInstanceUID)), {})
            images[str(header.SOPInstanceUID)] = path
        begin()
        found = {}
        for (study, series), images in by_series.items():
            there = self.images(study, series, OutputError)
            with failures_of(self.address, OutputError):
                for lot in _lots([path for uid, path in images.items() if uid not in there]):
                    client = self._client()
                    client.set_chunk_size(2 * _POST_BYTES)  # with a length: not every server takes a chunked request
                    client.store_instances([pydicom.dcmread(path) for path in lot])
            there = self.images(study, series, OutputError)
            if missing := images.keys() - there:
                raise OutputError(
                    f"{self.address} did not take {len(missing)} of {counted(len(images), 'image')}; look at its log, "
                    "then run again."
                )
            found[f"studies/{study}/series/{series}"] = _count(there)
        return found


@dataclass(frozen=True)
class DicomwebSeries:
    """A series on a DICOMweb server.

    Attributes:
        server: the server.
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
    """

    server: DicomwebServer
    study: str
    series: str

    @property
    def address(self) -> Address:
        """Of the series."""
        return self.server.address / f"studies/{self.study}/series/{self.series}"

    def state(self) -> str:
        """What changes when images come or go.

        Raises:
            InputError: there are none, or the server does not say.
        """
        return hashlib.sha256("\n".join(sorted(self._images())).encode()).hexdigest()

    def fetch(self, folder: Path) -> Path:
        """Bring all images into a new folder, as the server stores them.

        Returns:
            The folder.

        Raises:
            InputError: the server does not give all of them.
        """
        wanted, place = self._images(), folder / self.series
        place.mkdir(parents=True)
        fetched = set()
        with failures_of(self.address, InputError):
            images = self.server._client().iter_series(self.study, self.series, media_types=_AS_STORED)
            for number, image in enumerate(images, 1):
                fetched.add(str(image.SOPInstanceUID))
                image.save_as(place / f"{number:05d}.dcm")
        if missing := wanted - fetched:
            raise InputError(f"{self.address} came in part: {len(missing)} of {len(wanted)} images are missing; run again.")
        return place

    def _images(self) -> set[str]:
        images = self.server.images(self.study, self.series)
        if not images:
            raise InputError(f"{self.address} has no images; correct the address.")
        return images


def read_address(address: Address) -> tuple[DicomwebServer, str | None, str | None]:
    """A DICOMweb address in its parts: server, StudyInstanceUID and SeriesInstanceUID.

    Raises:
        InputError: it is none of a server, a study or a series.
        MissingExtraError: the package for it is not installed.
    """
    with require_extra("dicomweb"):
        from dicomweb_client.uri import URI
    try:
        uri = URI.from_string(address.url.removesuffix("/studies"))
        if uri.sop_instance_uid is None and uri.suffix is None:
            return DicomwebServer(Address(uri.base_url)), uri.study_instance_uid, uri.series_instance_uid
    except ValueError:
        pass
    raise InputError(f"{address} is no DICOMweb address of a server, a study (/studies/UID) or a series (/series/UID after it).")


def _lots(paths: list[Path]) -> Iterator[list[Path]]:
    """Files in groups of about one size, with one at least."""
    sizes = dict.fromkeys(paths, 0)
    total = 0
    for path in paths:
        sizes[path] = total // _POST_BYTES
        total += path.stat().st_size
    for _, lot in groupby(paths, key=sizes.__getitem__):
        yield list(lot)


def _found(search: Callable[..., list[dict[str, Any]]], tag: str) -> dict[str, dict[str, Any]]:
    """All that a search finds, by UID: page after page until one brings nothing new, as not every server heeds the offset."""
    found: dict[str, dict[str, Any]] = {}
    seen = 0
    while page := search(offset=seen):
        told = {_value(one, tag): one for one in page}
        if told.keys() <= found.keys():
            break
        found |= told
        seen += len(page)
    return found


def _value(told: dict[str, Any], tag: str) -> str:
    """First value of an element in the DICOM JSON model; "" when it has none."""
    return str((told.get(tag, {}).get("Value") or [""])[0])


def _count(images: set[str]) -> str:
    return counted(len(images), "image")
