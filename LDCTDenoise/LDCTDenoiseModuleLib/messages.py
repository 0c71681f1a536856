"""Errors as sentences for the panel."""

import logging

from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import LDCTDenoiseError, NotHUError
from LDCTDenoiseLib.worker.client import JobError


def messageOf(error):
    """What went wrong and what to do, in the panel's words."""
    if isinstance(error, JobError) and error.kind == NotHUError.__name__:
        return _("{finding} Choose a CT in HU, or tick 'Treat as HU anyway' if it is one.").format(finding=error)
    if not isinstance(error, LDCTDenoiseError):
        logging.error("LDCT Denoise", exc_info=error)
        return _("{kind}: {error} (Slicer's error log has the details.)").format(kind=type(error).__name__, error=error)
    return str(error)
