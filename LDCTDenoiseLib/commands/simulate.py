"""``ldctdenoise simulate``: a low-dose CT from a normal-dose one, by noise insertion."""

from __future__ import annotations

import argparse
import logging
import time

from ..errors import counted
from .options import add_volume_options, count, dose, read_scan, slice_progress

log = logging.getLogger(__name__)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("simulate", help="make a low-dose CT from a normal-dose one", description=__doc__)
    add_volume_options(parser)
    parser.add_argument("--dose", type=dose, required=True, metavar="A", help="dose fraction, above 0 and at most 1")
    parser.add_argument("--seed", type=count, metavar="N", default=0, help="of the noise (default 0)")
    parser.add_argument("--kernel", choices=["soft", "sharp"], default="soft", help="of the inserted noise (default soft)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from ..system.files import check_there

    start = time.perf_counter()
    check_there(options.input, options.output)
    from ..simulation import simulate_low_dose
    from ..volumes.volume_file import check_geometry, check_volume_output, write_volume

    check_volume_output(options.output, overwrite=options.overwrite)
    scan = read_scan(options)
    check_geometry(scan, options.output)
    with slice_progress("Simulating", quiet=options.quiet) as progress:
        low = simulate_low_dose(scan.hu, scan.spacing, options.dose, kernel=options.kernel, seed=options.seed, progress=progress)
    write_volume(scan.with_hu(low), options.output, overwrite=options.overwrite)
    slices = counted(len(low), "slice")
    log.info("Wrote %s: %s at dose %g in %.1f s.", options.output, slices, options.dose, time.perf_counter() - start)
