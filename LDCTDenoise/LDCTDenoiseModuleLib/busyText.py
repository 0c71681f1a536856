"""Tell when other programs keep the worker from computing."""

from __future__ import annotations

import os

from slicer.i18n import tr as _


def busyText(pid: int | None) -> str:
    """A sentence for a worker of low priority on a busy machine; else nothing.

    Slicer on Linux runs at low priority, and few users may give its worker a higher one.

    Args:
        pid: of the worker.
    """
    if pid is None or not hasattr(os, "getpriority"):
        return ""
    try:
        low = os.getpriority(os.PRIO_PROCESS, pid) > 0
    except OSError:  # it has just ended
        return ""
    if not low or os.getloadavg()[0] <= (os.cpu_count() or 1):
        return ""
    told: str = _("The machine is busy, and Slicer's low priority lets other programs go first.")
    return told
