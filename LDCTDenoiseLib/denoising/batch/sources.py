"""Which lists were denoised into a folder: what a report compares the outputs with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import OutputError
from ...stores.address import place
from ...system.durable import make_folders
from ...system.files import replace_when_complete
from .items import Items, find_items
from .records import FOLDER

_SUFFIX = ".source"


@dataclass(frozen=True)
class ListSource:
    """Where a list of items came from.

    Attributes:
        source: the folder or the CSV, as an absolute path or an address.
        force: as of :func:`find_items`.
        allow_missing: as of :func:`find_items`.
    """

    source: str
    force: bool = False
    allow_missing: bool = False

    def items(self, target: Path) -> Items:
        """The list as it is now.

        Raises:
            InputError: it cannot be read any more.
        """
        return find_items(place(self.source), target, force=self.force, allow_missing=self.allow_missing)


def note_source(folder: Path, source: ListSource) -> None:
    """Keep where a batch's list came from; shards of one list write the same.

    Raises:
        OutputError: it cannot be written.
    """
    told = json.dumps(asdict(source), indent=1)
    path = folder / FOLDER / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}{_SUFFIX}"
    if path.is_file():
        return
    try:
        make_folders(path.parent)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be made ({error.strerror}); choose another output folder.") from error
    with replace_when_complete(path) as temporary:
        temporary.write_text(told, encoding="utf-8")


def noted_sources(folder: Path) -> Iterator[ListSource]:
    """Where the lists of the batches of a folder came from."""
    for path in sorted((folder / FOLDER).glob(f"*{_SUFFIX}")):
        try:
            yield ListSource(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # not ours
            continue
