"""The command line ``ldctdenoise``: parsing, exit codes, and errors as one sentence.

Exit codes: 0 done, 1 failure, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from .commands import demo, denoise, info, models, simulate, train
from .errors import LDCTDenoiseError
from .version import __version__

_DEBUG_HELP = "show the traceback of an error"
COMMANDS = (denoise, simulate, train, models, info, demo)


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
    logging.getLogger(__package__).setLevel(level)
    try:
        options.run(options)
    except LDCTDenoiseError as error:
        return _report(str(error), options.debug)
    except KeyboardInterrupt:
        print("Interrupted; no partial output was left.", file=sys.stderr)
        return 130
    except MemoryError:
        return _report("Not enough memory for this volume; denoise fewer slices at a time (--slices A:B).", options.debug)
    except Exception as error:  # the last resort: a sentence, not a traceback
        return _report(f"Unexpected failure ({type(error).__name__}: {error}); run again with --debug.", options.debug)
    return 0


def _report(message: str, debug: bool) -> int:
    if debug:
        logging.getLogger(__name__).exception("Traceback, as asked by --debug:")
    print(f"ldctdenoise: {' '.join(message.split())}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
