"""The command line ``ldctdenoise``: parsing, exit codes, and errors as one sentence.

Exit codes: 0 done, 1 failure, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from ..dicom.log_privacy import silence_pydicom
from ..errors import as_sentence
from ..version import __version__
from . import batch, data, demo, denoise, evaluate, export, figures, info, lesion_test, models, series, simulate, train

_DEBUG_HELP = "show the traceback of an error"
COMMANDS = (denoise, batch, series, simulate, lesion_test, data, train, evaluate, export, figures, models, info, demo)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ldctdenoise", description="Low-dose CT denoising. For research, not for diagnosis.")
    parser.add_argument("--version", action="version", version=f"ldctdenoise {__version__}")
    parser.add_argument("--debug", action="store_true", help=_DEBUG_HELP)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    for subparser in commands.choices.values():
        # Also after the command's name; without a default, which would undo the one before it.
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=_DEBUG_HELP)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = build_parser().parse_args(arguments)
    level = logging.WARNING if getattr(options, "quiet", False) else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger(__name__.partition(".")[0]).setLevel(level)
    silence_pydicom()
    try:
        options.run(options)
    except KeyboardInterrupt:
        print("Interrupted; no partial output was left.", file=sys.stderr)
        return 130
    except Exception as error:
        if options.debug:
            logging.getLogger(__name__).exception("Traceback, as asked by --debug:")
        print(f"ldctdenoise: {as_sentence(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
