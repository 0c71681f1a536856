"""Errors as sentences for the panel."""

from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import NotHUError
from LDCTDenoiseLib.worker.client import JobError


def messageOf(error):
    """What went wrong and what to do, in the panel's words."""
    if isinstance(error, JobError) and error.kind == NotHUError.__name__:
        return _("{finding} Choose a CT in HU, or tick 'Treat as HU anyway' if it is one.").format(finding=error)
    return str(error)
