"""What of OpenVINO's package this program's own processes need not import."""

import sys

_CONVERSION = "openvino.tools.ovc"


def leave_out_conversion() -> None:
    """Import OpenVINO without its conversion of other formats, which is more than half of the time that its import takes.

    Its package goes on without. Nobody can convert models in the same process then: this is for the command line and the worker.
    """
    sys.modules.setdefault(_CONVERSION, None)  # type: ignore[arg-type]  # how Python marks what must not be imported
