"""``ldctdenoise adapt``: fine-tune a model on your own normal-dose scans, and keep it only if it is better."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_device


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("adapt", help="fine-tune a model on your own scans", description=__doc__)
    parser.add_argument("scans", type=Path, help="normal-dose CT: volume file, DICOM folder, or folder of several")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="model file to write (.safetensors)")
    parser.add_argument("--minutes", type=minutes, default=20.0, metavar="M", help="for all of it (default 20)")
    parser.add_argument(
        "--start-from", default="default", metavar="NAME|FILE", help="model to begin with (default: the shipped one)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    add_device(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")
    parser.set_defaults(run=run)


def minutes(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of minutes above 0")
    return value


def run(options: argparse.Namespace) -> None:
    from ..errors import Code, TrainingError
    from ..system.extras import require_extra
    from ..system.files import check_exists

    check_exists(options.scans, "a volume file or a folder of scans")
    with require_extra("train"):
        from ..adaptation.adapt import adapt, in_words
    from .train import quieten_lightning

    quieten_lightning()
    done = adapt(
        options.scans,
        options.out,
        minutes=options.minutes,
        start_from=options.start_from,
        device=options.device,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    print(f"before: {in_words(done.before)}\nafter:  {in_words(done.after)}")
    if done.model is None:
        raise TrainingError(
            f"After {done.steps} steps the model is no better on the slices that were held back; nothing was written. "
            "Give more scans or more --minutes.",
            Code.FAILURE,
        )
    print(f"{done.model}: {done.steps} steps, {done.minutes:.0f} minutes")
