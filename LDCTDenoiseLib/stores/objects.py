"""Folders of object stores, through fsspec: what lies there, fetching it, and publishing so that nobody sees a half.

Credentials, endpoints and proxies are those that the store's package finds by itself: environment, profile, configuration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ..errors import InputError, MissingExtraError, OutputError
from ..system.durable import make_folders, sync_file, sync_folder
from ..system.extras import require_extra
from .address import Address
from .failures import failures_of

_AT_ONCE = 16
_LOCAL = ("file", "local")
_LONGEST_NAME = 255


@dataclass(frozen=True)
class ObjectFolder:
    """All objects whose names begin with an address and a slash.

    Attributes:
        address: the folder's.
    """

    address: Address

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system of fsspec, and the folder's name in it.

        Raises:
            MissingExtraError: a package is not installed.
            InputError: no package knows such addresses.
        """
        with require_extra("stores"):
            from fsspec.core import url_to_fs
        options = {"auto_mkdir": True} if self.address.scheme in _LOCAL else {}
        try:
            files, root = url_to_fs(self.address.url, use_listings_cache=False, **options)
        except ImportError as error:
            raise MissingExtraError(
                f"{self.address.scheme}:// addresses need a package that is not installed: pip install 'ldctdenoise[stores]' for "
                "s3://, or the one that fsspec names for others."
            ) from error
        except ValueError as error:
            raise InputError(f"{self.address.scheme}:// is no address that fsspec knows; correct {self.address}.") from error
        return files, root.rstrip("/")

    def check(self) -> None:
        """Make sure that the packages for it are installed.

        Raises:
            MissingExtraError: one is not.
            InputError: no package knows such addresses.
        """
        _ = self._opened

    def check_writable(self, name: str) -> None:
        """Make sure that something can be written and removed there.

        Args:
            name: of an object that nobody needs.

        Raises:
            OutputError: it cannot.
        """
        self.write(name, b"")
        self.remove([name])

    def __getstate__(self) -> dict[str, Any]:
        """Connections stay in their process."""
        return {"address": self.address}

    def _path(self, name: str) -> str:
        root = self._opened[1]
        return f"{root}/{name}" if name else root

    def states(self, inside: str = "") -> dict[str, str]:
        """The objects below a name, each with what changes when it changes; a name that is an object itself has "" alone.

        Raises:
            InputError: the store cannot be asked.
        """
        files, start = self._opened[0], self._path(inside)
        with failures_of(self._told(inside), InputError):
            found = files.find(start, detail=True)
        return {
            path[len(start) :].lstrip("/"): _state(told)
            for path, told in found.items()
            if told["type"] == "file" and not path.endswith("/")
        }

    def fetch(self, names: Iterable[str], folder: Path) -> None:
        """Bring objects into a local folder, under the same names.

        Raises:
            InputError: the store does not give them, or a name leads out of the folder.
        """
        places = {name: _inside(folder, name) for name in names}
        if len(set(places.values())) < len(places):
            raise InputError(f"Objects in {self.address} have names that are one for a file (a//b and a/b); rename them.")
        for place in places.values():
            place.parent.mkdir(parents=True, exist_ok=True)
        with failures_of(self.address, InputError):
            _each(self._opened[0].get_file, [(self._path(name), str(place)) for name, place in places.items()])

    def read(self, name: str) -> bytes | None:
        """An object's content; None if there is none.

        Raises:
            InputError: the store does not give it.
        """
        with failures_of(self._told(name), InputError):
            try:
                return bytes(self._opened[0].cat_file(self._path(name)))
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write an object, whole or not at all.

        Raises:
            OutputError: the store does not take it.
        """
        files, path = self._opened[0], self._path(name)
        with failures_of(self._told(name), OutputError):
            if self.address.scheme in _LOCAL:  # in a store, an object appears when it is whole
                files.pipe_file(f"{path}.new", content)
                _move_here(files, f"{path}.new", path)
            else:
                files.pipe_file(path, content)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; one that is not there is no failure.

        Raises:
            OutputError: the store refuses.
        """

        def forget(path: str) -> None:
            with suppress(FileNotFoundError):
                self._opened[0].rm_file(path)

        with failures_of(self.address, OutputError):
            _each(forget, [(self._path(name),) for name in names])

    def publish(
        self, local: dict[str, Path], name: str, incoming: str, begin: Callable[[], object], old: Collection[str] = ()
    ) -> dict[str, str]:
        """Put files in the place of what lies at a name: all are brought to temporary objects first.

        Args:
            local: the files by their names below ``name``; "" alone for one that is the object itself.
            name: what they become.
            incoming: folder for temporary objects; what an earlier try left for this name is removed.
            begin: called when all are there, before the first object of the old output is touched.
            old: the names of the output that is replaced: no other object is removed.

        Returns:
            As :meth:`states` gives them.

        Raises:
            OutputError: something else lies there, or the store does not take them all; before ``begin`` the old output is
                as it was.
        """
        final = {inner: f"{name}/{inner}" if inner else name for inner in {*local, *self.states(name)}}
        gone = final.keys() - local.keys()
        if foreign := gone - set(old):
            raise OutputError(
                f"{self._told(final[min(foreign)])} lies in the output's place, and no batch made it; move it, or choose another "
                "output."
            )
        work = f"{incoming}/{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        self._clear(work)
        files = self._opened[0]
        temporary = {inner: self._path(f"{work}/{number}") for number, inner in enumerate(sorted(local))}
        try:
            with failures_of(self._told(name), OutputError):
                _each(files.put_file, [(str(path), temporary[inner]) for inner, path in local.items()])
            self._check_sizes(work, {temporary[inner]: path for inner, path in local.items()}, name)
            begin()
            with failures_of(self._told(name), OutputError):
                _each(self._move, [(temporary[inner], self._path(final[inner])) for inner in local])
            self.remove(final[inner] for inner in gone)
        finally:
            with suppress(InputError, OutputError):  # the next try removes it
                self._clear(work)
        return self.states(name)

    def _check_sizes(self, work: str, local: dict[str, Path], name: str) -> None:
        there = {self._path(f"{work}/{number}"): state for number, state in self.states(work).items()}
        missing = [path for path, file in local.items() if not there.get(path, "").startswith(f"{file.stat().st_size} ")]
        if missing:
            raise OutputError(
                f"{self._told(name)} was uploaded in part: {len(missing)} of {len(local)} are not whole; run again."
            )

    def _move(self, one: str, other: str) -> None:
        files = self._opened[0]
        if self.address.scheme in _LOCAL:
            _move_here(files, one, other)
        else:
            files.cp_file(one, other)
            files.rm_file(one)

    def _clear(self, folder: str) -> None:
        self.remove([f"{folder}/{name}" for name in self.states(folder)])
        if self.address.scheme in _LOCAL:  # a store has no folders
            for path in (folder, folder.rpartition("/")[0]):
                with suppress(OSError):
                    self._opened[0].rmdir(self._path(path))

    def _told(self, name: str) -> str:
        return f"{self.address}/{name}" if name else str(self.address)


@dataclass(frozen=True)
class StoredFiles:
    """An input in an object store: a volume file, or the files of a series.

    Attributes:
        address: of the file, or of the folder.
        recursive: whether the folders in it belong to it.
    """

    address: Address
    recursive: bool = True

    def state(self) -> str:
        """What changes when the input changes, without a look at its content.

        Raises:
            InputError: there is nothing, or the store cannot be asked.
        """
        told = "\n".join(f"{name} {state}" for name, state in sorted(self._states().items()))
        return hashlib.sha256(told.encode()).hexdigest()

    def fetch(self, folder: Path) -> Path:
        """Bring it into a local folder.

        Returns:
            Where the file or the folder lies.

        Raises:
            InputError: there is nothing, or the store does not give it.
        """
        states, place = self._states(), _inside(folder, self.address.name)
        if self.address.name in states:
            ObjectFolder(self.address.parent).fetch(states, folder)
        else:
            ObjectFolder(self.address).fetch((name.removeprefix("/") for name in states), place)
        return place

    def _states(self) -> dict[str, str]:
        """Of a folder by "/" and the names in it; of a file by its name and those of its data files."""
        found = ObjectFolder(self.address).states()
        if not found:
            raise InputError(f"{self.address} is not there: no object has this name or lies below it; correct the address.")
        if "" not in found:
            return {f"/{name}": state for name, state in found.items() if self.recursive or "/" not in name}
        name = self.address.name
        two_files = name.lower().endswith((".mhd", ".nhdr"))
        return {name: found[""]} | (_data_files(ObjectFolder(self.address.parent), name) if two_files else {})


def location(place: Path | Address) -> PurePath:
    """One name for a place, whatever path, link or address leads there.

    Raises:
        MissingExtraError: a package is not installed.
        InputError: no package knows such addresses.
    """
    if isinstance(place, Path):
        return place.resolve()
    if place.is_web:
        return PurePosixPath(place.url)
    files, name = ObjectFolder(place)._opened
    return Path(name).resolve() if place.scheme in _LOCAL else PurePosixPath(files.unstrip_protocol(name))


def _data_files(folder: ObjectFolder, header: str) -> dict[str, str]:
    """What lies beside a header of two-file formats and has its name: its voxels are among them."""
    stem = header.rpartition(".")[0]
    return {
        name: state
        for name, state in folder.states().items()
        if name != header and "/" not in name and name.startswith(f"{stem}.")
    }


def _state(told: dict[str, Any]) -> str:
    """Size, and the hash or else the time that the store gives."""
    mark = next((str(told[key]) for key in ("ETag", "etag", "md5", "mtime", "created", "LastModified") if told.get(key)), "")
    return f"{told['size']} {mark}"


def _move_here(files: Any, one: str, other: str) -> None:
    """Move a file of this machine in one step; content and name are on the disk then, as a store promises of its objects."""
    make_folders(Path(other).parent)
    sync_file(Path(one))
    files.mv(one, other)
    sync_folder(Path(other).parent)


def _each(function: Callable[..., object], arguments: list[tuple[str, ...]]) -> None:
    """Call for each, some at once; the first failure ends it."""
    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(arguments)))) as pool:
        futures = [pool.submit(function, *one) for one in arguments]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _inside(folder: Path, name: str) -> Path:
    """A place in a folder for an object, whose name may be anything.

    Raises:
        InputError: the name leads out of the folder, or is none for a file.
    """
    parts = PurePosixPath(name).parts
    if (
        not parts
        or name.startswith("/")
        or any(part == ".." or "\\" in part or "\0" in part or len(part.encode()) > _LONGEST_NAME for part in parts)
    ):
        raise InputError(f"An object's name cannot be a file's ({name[:_LONGEST_NAME]!r}); rename it.")
    return folder.joinpath(*parts)
