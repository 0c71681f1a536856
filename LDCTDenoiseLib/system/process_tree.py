"""Ending a process with everything that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress


def lead_own_group() -> None:
    """Make this process the leader of a group, so that :func:`kill_tree` reaches its children too."""
    if hasattr(os, "setpgid"):
        with suppress(PermissionError):  # a session leader already leads its group
            os.setpgid(0, 0)


def kill_tree(pid: int) -> None:
    """Kill a process that called :func:`lead_own_group`, with its children; gone already is fine."""
    if sys.platform == "win32":
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(pid)],
            check=False,
            capture_output=True,
            creationflags=subprocess.CREATE_NO_WINDOW,
        )
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
