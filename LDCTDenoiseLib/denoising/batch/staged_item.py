"""Denoise an item whose input or output lies in a store: in a private folder, by the unit of every batch.

The output is published as a whole, and its record last: first all is brought to temporary objects, then a record says that the
output is being made, then it takes its place, then the record says what it is. Who reads that record finds a whole output; what
a crash leaves in between is removed by the next try, which does the item again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ...dicom.find_series import SeriesFiles
from ...errors import Code, InputError, LDCTDenoiseError, OutputError
from ...stores.address import Address
from ...stores.dicomweb import DicomwebServer
from ...stores.objects import ObjectFolder, location
from ...stores.private_folder import private_folder
from ..one_file import Source
from .items import Item, files_of_source
from .one_item import REFUSED, Done, ItemOptions, Status, Target, denoise_item
from .records import FOLDER, Record, RecordBook, Standing, content_hash

_INCOMING = f"{FOLDER}/.incoming"


def record_book(folder: Path | Address, options: ItemOptions) -> RecordBook:
    """The records of a batch's folder, wherever it is."""
    return RecordBook(ObjectFolder(folder)) if isinstance(folder, Address) else options.records(folder)


def check_store(folder: Address) -> None:
    """Make sure, before time is spent on the model, that a batch can write to a store.

    Raises:
        OutputError: it cannot.
        InputError: no package knows such addresses, or it is a web server's.
        MissingExtraError: a package is not installed.
    """
    if folder.is_web:
        raise InputError(
            f"{folder} is on a web server, which cannot keep a batch's records; give a folder or a store, and the server in the "
            "column 'output' of a CSV."
        )
    ObjectFolder(folder).check_writable(f"{_INCOMING}/check")


def denoise_staged(item: Item, folder: Path | Address, options: ItemOptions) -> Done:
    """As :func:`denoise_item`, for what lies in a store.

    An input there is taken for unchanged, and not fetched, when the store tells the same of it as when it was denoised.

    Args:
        item: the item.
        folder: of the batch's outputs and records.
        options: how, and with what.

    Raises:
        LDCTDenoiseError: as :func:`denoise_item`; and the store cannot be used.
    """
    return _Staged(item, folder, options).denoise()


class _Staged:
    def __init__(self, item: Item, folder: Path | Address, options: ItemOptions) -> None:
        self._item, self._folder, self._options = item, folder, options
        self._book = record_book(folder, options)
        self._before = self._book.read(item.output)
        self._destination = _destination(item, folder)
        self._there: dict[str, str] = {}

    def denoise(self) -> Done:
        self._check_apart()
        source, before = self._item.source, self._before
        if isinstance(source, (Path, SeriesFiles)):
            seen, known = "", content_hash(files_of_source(source))
        else:
            seen = source.state()
            known = before.input if before is not None and before.seen == seen else ""
        wanted = self._options.recipe.record(known)
        standing = self._standing(wanted)
        if before is not None and standing is Standing.FINISHED:
            return Done(Status.FINISHED, before)
        if standing in REFUSED and not self._options.recipe.file.overwrite:
            raise OutputError(REFUSED[standing].format(self._item.output), Code.NOT_OURS)
        if self._options.denoiser is None:
            return Done(Status.TO_DO, wanted)
        with private_folder() as private, _told_by_addresses(self._item, self._folder, private):
            if not isinstance(source, (Path, SeriesFiles)):
                stored, source = source, source.fetch(private / "in")
                if stored.state() != seen:
                    raise InputError(f"{stored.address} changed while it was fetched; run the batch again when it is complete.")
            done = self._denoise_local(source, private / "out")
        if seen and done.record.seen != seen:
            done = replace(done, record=replace(done.record, seen=seen))
            self._book.write(self._item.output, done.record)
        return done

    def _check_apart(self) -> None:
        """Refuse an output that is its own input or around it, or lies in it, by whatever address or path.

        Raises:
            OutputError: it is.
        """
        if self._item.server is not None:  # there an image replaces no other
            return
        read, written = location(self._item.place), location(self._folder / self._item.output.as_posix())
        if read.is_relative_to(written) or written.is_relative_to(read):
            raise OutputError(
                f"The output {self._item.output} and the input {self._item.place} are one or lie in each other, and the input "
                "would be lost; choose another output."
            )

    @property
    def _files_before(self) -> dict[str, str]:
        """The files of the output that is replaced, as its record lists them."""
        return self._before.files if self._before else {}

    @property
    def _published_before(self) -> dict[str, str]:
        """How the store tells of what is replaced, as its record lists it."""
        return self._before.published if self._before else {}

    def _standing(self, wanted: Record) -> Standing:
        if self._destination is None:
            assert isinstance(self._folder, Path)
            return self._options.records(self._folder).standing(self._item.output, wanted)
        self._there = self._destination.there(self._before)
        return _standing(self._there, self._destination, self._before, wanted)

    def _denoise_local(self, source: Source, private: Path) -> Done:
        """Denoise what lies on this machine, and publish it."""
        if self._destination is None:
            assert isinstance(self._folder, Path)
            return denoise_item(source, Target(self._folder, self._item.output), self._options)
        if self._before is not None and self._before.seen:  # the store told of a change, which need not be one of the content
            wanted = self._options.recipe.record(content_hash(files_of_source(source)))
            if self._standing(wanted) is Standing.FINISHED:
                return Done(Status.FINISHED, self._before)
        target = Target(private, self._item.output)
        done = self._denoise_in_private(source, target)
        # Should this be cut off, the next try may remove both: the files that are replaced, and those of this one.
        old = self._files_before
        begun = replace(done.record, output="", files=old | done.record.files, published=self._published_before)
        published = self._destination.publish(target.place, old, lambda: self._begin(begun))
        record = replace(done.record, published=published)
        self._book.write(self._item.output, record)
        return Done(Status.DENOISED, record)

    def _begin(self, begun: Record) -> None:
        """Keep that the output is about to be put in its place.

        Raises:
            OutputError: something came there since it was looked at.
        """
        assert self._destination is not None
        there = self._destination.there(self._before)
        if not self._options.recipe.file.overwrite and not there.items() <= self._there.items():
            raise OutputError(f"{self._item.output} was made meanwhile.", Code.EXISTS)
        self._book.write(self._item.output, begun)

    def _denoise_in_private(self, source: Source, target: Target) -> Done:
        """How often reading the input has crashed is known there, and kept."""
        records = self._options.records(target.folder)
        if self._before is not None:
            records.write(target.output, self._before)
        try:
            return denoise_item(source, target, self._options)
        except LDCTDenoiseError:
            after = records.read(target.output)
            if after is not None and after.crashes:
                self._book.write(target.output, replace(after, files=self._files_before, published=self._published_before))
            raise


@contextmanager
def _told_by_addresses(item: Item, folder: Path | Address, private: Path) -> Iterator[None]:
    """Sentences name what lies in a private folder by its address."""
    try:
        yield
    except LDCTDenoiseError as error:
        sentence = str(error).replace(str(private / "in" / item.place.name), str(item.place))
        raise type(error)(sentence.replace(str(private / "out"), str(folder)), error.code) from error


class _Destination(Protocol):
    def there(self, before: Record | None) -> dict[str, str]:
        """What lies where the output goes, as the store tells it."""

    def hash_of(self, name: str) -> str:
        """sha256 of the content of a part of what lies there."""

    def publish(self, place: Path, old: Collection[str], begin: Callable[[], object]) -> dict[str, str]:
        """Put a file or folder in place of old files; ``begin`` is called before they are touched. Gives what lies there then."""


def _destination(item: Item, folder: Path | Address) -> _Destination | None:
    """None is this machine."""
    if item.server is not None:
        return _OnServer(item.server)
    return _InStore(ObjectFolder(folder), item.output.as_posix()) if isinstance(folder, Address) else None


@dataclass(frozen=True)
class _InStore:
    folder: ObjectFolder
    output: str

    def there(self, before: Record | None) -> dict[str, str]:
        return self.folder.states(self.output)

    def hash_of(self, name: str) -> str:
        return hashlib.sha256(self.folder.read(f"{self.output}/{name}" if name else self.output) or b"").hexdigest()

    def publish(self, place: Path, old: Collection[str], begin: Callable[[], object]) -> dict[str, str]:
        files = {"": place} if place.is_file() else {path.relative_to(place).as_posix(): path for path in place.iterdir()}
        return self.folder.publish(files, self.output, _INCOMING, begin, old)


@dataclass(frozen=True)
class _OnServer:
    server: DicomwebServer

    def there(self, before: Record | None) -> dict[str, str]:
        return {} if before is None else self.server.whole(before.published)

    def hash_of(self, name: str) -> str:
        return ""  # nobody else's image takes the place of one there

    def publish(self, place: Path, old: Collection[str], begin: Callable[[], object]) -> dict[str, str]:
        return self.server.publish(sorted(place.iterdir()), begin)


def _standing(there: dict[str, str], destination: _Destination, before: Record | None, wanted: Record) -> Standing:
    """What an output's place in a store holds, by what the store tells of it."""
    if not there:
        return Standing.NOTHING
    if before is None:
        return Standing.FOREIGN
    if not before.output:  # old or new, part by part
        ours = all(
            before.published.get(name) == told or before.files.get(name) == destination.hash_of(name)
            for name, told in there.items()
        )
        return Standing.OURS if ours else Standing.FOREIGN
    if there != before.published:
        return Standing.DAMAGED if there.items() <= before.published.items() else Standing.CHANGED
    return Standing.FINISHED if before.made_as(wanted) else Standing.OURS
