"""``ldctdenoise models``: the models that come with the package."""

from __future__ import annotations

import argparse

from ..errors import counted


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("models", help="list the shipped models", description=__doc__)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..models.model_info import read_info, shipped_models

    for path in shipped_models():
        info = read_info(path)
        networks = " + ".join(level.network for level in info.levels)
        print(f"{info.name}: {info.purpose}\n    {counted(len(info.levels), 'level')}: {networks}; sha256 {info.model_hash[:16]}")
