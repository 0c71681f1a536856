"""``ldctdenoise export``: a model as an ONNX file, checked against the engine."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ..errors import Code, InputError
from .options import said_when_written

log = logging.getLogger(__name__)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("export", help="write a model as ONNX", description=__doc__)
    parser.add_argument("model", metavar="NAME|FILE", help="a shipped model or a model file")
    parser.add_argument("output", type=Path, help="ONNX file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    parser.add_argument("--quiet", action="store_true", help="no notes")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..models.model_info import find_model
    from ..system.extras import require_extra
    from ..system.files import check_writable

    if options.output.suffix.lower() != ".onnx":
        swapped = Path(options.model).suffix.lower() == ".onnx"
        meant = f" Did you mean: ldctdenoise export {options.output} {options.model}?" if swapped else ""
        raise InputError(f"The output {options.output.name} must end in .onnx.{meant}", Code.ARGUMENT)
    find_model(options.model)
    check_writable(options.output, overwrite=options.overwrite)
    with require_extra("onnx"):
        from ..inference.onnx import export_onnx

    with said_when_written(options.output):
        difference = export_onnx(options.model, options.output, overwrite=options.overwrite)
    log.info("It is within %.1e HU of the engine (onnxruntime, CPU).", difference)
