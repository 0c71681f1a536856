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


def may_be_killed(pid: int) -> bool:
    """Whether a number that a child told can be its process ID: 0 and -1 mean groups of processes, this one among them."""
    ours = {os.getpid(), os.getppid()} | ({os.getpgrp()} if hasattr(os, "getpgrp") else set())
    return 1 < pid < 2**31 and pid not in ours


def kill_tree(pid: int) -> None:
    """Kill a process that called :func:`lead_own_group`, with its children; gone already is fine.

    Raises:
        ValueError: it is this process, or no process.
    """
    if not may_be_killed(pid):
        raise ValueError(f"{pid} is no process to kill")
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
