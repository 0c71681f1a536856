"""The command line ``ldctdenoise``: parsing, exit codes, and errors as one sentence.

Exit codes: 0 done, 1 failure, 2 wrong usage, 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from ..dicom.log_privacy import silence_pydicom
from ..errors import Code, code_of, printable
from ..system.openvino_parts import leave_out_conversion
from ..system.signals import Stopped, stops_like_ctrl_c
from ..version import __version__
from . import (
    adapt,
    batch,
    batch_report,
    data,
    demo,
    denoise,
    evaluate,
    export,
    figures,
    info,
    lesion_test,
    models,
    series,
    simulate,
    train,
)
from .examples import EXAMPLES
from .remedies import advice

_DEBUG_HELP = "show the traceback of an error"
COMMANDS = (
    denoise,
    batch,
    batch_report,
    series,
    simulate,
    lesion_test,
    data,
    train,
    adapt,
    evaluate,
    export,
    figures,
    models,
    info,
    demo,
)


class _Parser(argparse.ArgumentParser):
    """Tells of wrong usage in two lines; the twenty lines of all options would hide what is wrong."""

    def error(self, message: str) -> NoReturn:
        formatter = argparse.HelpFormatter(self.prog, width=1000)
        formatter.add_usage(None, [one for one in self._actions if one.required], [])
        self.exit(2, f"{formatter.format_help().strip()}  (more: {self.prog} --help)\n{self.prog}: error: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ldctdenoise", description="Low-dose CT denoising. For research, not for diagnosis.")
    parser.add_argument("--version", action="version", version=f"ldctdenoise {__version__}")
    parser.add_argument("--debug", action="store_true", help=_DEBUG_HELP)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    for subparser in all_parsers(parser):
        # Also after the command's name; without a default, which would undo the one before it.
        subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=_DEBUG_HELP)
        _finish_help(subparser)
    return parser


def all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of all commands below one."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield subparser
                yield from all_parsers(subparser)


def _finish_help(parser: argparse.ArgumentParser) -> None:
    """Plain words from a module's docstring, and an example."""
    command = parser.prog.removeprefix("ldctdenoise ")
    text = (parser.description or "").removeprefix(f"``ldctdenoise {command}``: ").replace("``", "")
    parser.description = text[:1].upper() + text[1:]
    parser.epilog = " ".join(filter(None, [parser.epilog, f"Example: {EXAMPLES[command]}"]))


def _check_command(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """End with what was probably meant where the first word is not a command."""
    first = next((one for one in arguments if not one.startswith("-")), None)
    names = [command.__name__.rpartition(".")[2].replace("_", "-") for command in COMMANDS]
    if first is None or first in names:
        return
    if Path(first).exists() or Path(first).suffix:
        parser.error(f"'{first}' is not a command; did you mean: ldctdenoise denoise {shlex.join(arguments)}")
    import difflib  # slow, and only a wrong word needs it

    near = difflib.get_close_matches(first, names, 1)
    parser.error(f"'{first}' is not a command; " + (f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}."))


class _PrintableLog(logging.Formatter):
    """What quotes a stranger's file cannot give orders to the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _PrintableOutput(io.TextIOBase):
    """A stream to print to, as :class:`_PrintableLog`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(printable(text))

    def flush(self) -> None:
        self._stream.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; without arguments, those of this process, which is the program's own."""
    if arguments is None:
        leave_out_conversion()
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks how the line goes on
        import argcomplete

        argcomplete.autocomplete(parser)
    _check_command(parser, sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(arguments)
    level = logging.WARNING if getattr(options, "quiet", False) else logging.INFO
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(_PrintableLog("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[to_stderr])
    logging.getLogger(__name__.partition(".")[0]).setLevel(level)
    silence_pydicom()
    try:
        with stops_like_ctrl_c(), contextlib.redirect_stdout(_PrintableOutput(sys.stdout)):
            options.run(options)
    except KeyboardInterrupt as stop:
        print("Interrupted; no partial output was left.", file=sys.stderr)
        return stop.exit_code if isinstance(stop, Stopped) else 130
    except Exception as error:
        if options.debug:
            logging.getLogger(__name__).exception("Traceback, as asked by --debug:")
        if code_of(error) is Code.SEVERAL_SERIES and hasattr(options, "series"):
            print(printable(series.choice_of(options.input)), file=sys.stderr)
        else:
            print(f"ldctdenoise: {advice(error)}", file=sys.stderr)
        return 2 if code_of(error) is Code.ARGUMENT else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
