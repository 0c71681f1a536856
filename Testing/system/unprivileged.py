"""Running a function without root's rights: root may write everywhere, so a test as root would prove nothing."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def closed_folder() -> Iterator[Path]:
    """A folder that everybody may enter and only root may write in."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own temporary folders are closed to other users
        folder = Path(name)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


def as_nobody(function: Callable[[], object]) -> str:
    """Call a function in a child process as an ordinary user; what it returned, or the error it raised, as text."""
    if sys.platform == "win32":
        pytest.skip("Windows has no such permissions")
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer = str(function())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(write_end, answer.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer
