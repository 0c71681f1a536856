"""The worker's priority among the processes of the machine."""

from __future__ import annotations

import os
from contextlib import suppress


def restore_priority() -> None:
    """Take usual priority, where the system allows it.

    Slicer on Linux runs at nice 19, which its child processes inherit: beside any other program they would get hardly any time.
    """
    if not hasattr(os, "setpriority"):
        return
    if os.getpriority(os.PRIO_PROCESS, 0) > 0:
        with suppress(PermissionError):  # raising the priority needs a right that few users have
            os.setpriority(os.PRIO_PROCESS, 0, 0)
