"""``ldctdenoise series``: the CT series of a DICOM folder, to choose one from."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("series", help="list the CT series of a DICOM folder", description=__doc__)
    parser.add_argument("input", type=Path, help="DICOM folder, DICOMDIR or DICOM file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..dicom.list_series import list_series
    from ..errors import InputError

    if not options.input.exists():
        raise InputError(f"{options.input} does not exist; give a folder with DICOM files.")
    for series in list_series(options.input):
        print(series)
