"""``ldctdenoise series``: the CT series of a DICOM folder, to choose one from."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("series", help="list the CT series of a DICOM folder", description=__doc__)
    parser.add_argument("input", type=Path, help="DICOM folder, DICOMDIR or DICOM file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..system.files import check_exists

    check_exists(options.input, "a folder with DICOM files")
    from ..dicom.list_series import list_series

    for series in list_series(options.input):
        print(series)


def choice_of(source: Path) -> str:
    """What is told where a command with ``--series`` meets several: the same list, and the option."""
    from ..dicom.list_series import list_series

    listed = "\n".join(list_series(source))
    return f"{listed}\nldctdenoise: {source} holds several CT series; choose one of them: --series UID."
