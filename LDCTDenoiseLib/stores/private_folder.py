"""A folder for files under way, which hold patients: nobody else can look into it, and it does not stay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError
from ..system.work_folder import WorkFolder, recover


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a new folder among the system's temporary ones (TMPDIR), and remove it; those of killed processes, too.

    Raises:
        OutputError: it cannot be made.
    """
    parent = Path(tempfile.gettempdir())
    recover(parent)
    try:
        work = WorkFolder(parent)
    except OSError as error:
        raise OutputError(f"No temporary folder can be made in {parent} ({error.strerror}); set TMPDIR.") from error
    try:
        yield work.make_folder()
    finally:
        work.close()
