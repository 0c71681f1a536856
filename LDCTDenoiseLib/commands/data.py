"""``ldctdenoise data``: public low-dose CT data, and the CSV of pairs that trainer and evaluator read."""

from __future__ import annotations

import argparse
from pathlib import Path

ANATOMIES = ("abdomen", "chest")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("data", help="download public data, find low/normal-dose pairs", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_download(actions)
    _add_index(actions)


def _add_download(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "Download the low- and full-dose images of LDCT-and-Projection-data (CC BY 4.0) from the Imaging Data Commons."
    parser = actions.add_parser("download", help="public pairs from the Imaging Data Commons", description=text)
    parser.add_argument("--split", choices=["ldctbench"], default="ldctbench", help="patients of this benchmark (default)")
    parser.add_argument(
        "--anatomy", type=_anatomies, default=list(ANATOMIES), metavar="A,B", help="abdomen, chest or both (default)"
    )
    parser.add_argument("--patients", type=_names, default=[], metavar="L004,...", help="these patients only")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the data")
    parser.add_argument("--yes", action="store_true", help="do not ask before the download")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")
    parser.set_defaults(run=run_download)


def _add_index(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = (
        "Find low/normal-dose pairs in a folder (IDC, NBIA and AAPM layouts, or low/ and full/), by patient and slice position, "
        "and write them as a CSV: patient,low,full,split."
    )
    parser = actions.add_parser("index", help="find pairs and write their CSV", description=text)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that holds the data")
    parser.add_argument("--out", type=Path, metavar="CSV", help="where to write (default: DIR/pairs.csv)")
    parser.add_argument(
        "--split",
        choices=["random", "ldctbench"],
        default="random",
        help="70/20/10 %% of the patients (default), or the benchmark's",
    )
    parser.add_argument("--validate", type=_names, default=[], metavar="A,B", help="these patients validate, instead of --split")
    parser.add_argument("--test", type=_names, default=[], metavar="A,B", help="these patients test, instead of --split")
    parser.add_argument("--overwrite", action="store_true", help="replace a CSV that exists")
    parser.set_defaults(run=run_index)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _anatomies(text: str) -> list[str]:
    names = _names(text)
    wrong = [name for name in names if name not in ANATOMIES]
    if wrong or not names:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of {' and '.join(ANATOMIES)}")
    return names


def run_download(options: argparse.Namespace) -> None:
    from ..data.imaging_data_commons import download, in_gb, is_whole, list_series, select
    from ..data.splits import ldctbench_split
    from ..errors import InputError, counted

    series = select(list_series(), anatomies=options.anatomy, patients=options.patients)
    known = ldctbench_split({one.patient for one in series})
    series = [one for one in series if one.patient in known]
    missing = [one for one in series if not is_whole(one, options.out)]
    print(
        f"{counted(len({one.patient for one in series}), 'patient')}, {len(series)} series, "
        f"{counted(sum(one.slices for one in series), 'slice')}, "
        f"{in_gb(sum(one.size for one in series))}; to download: {in_gb(sum(one.size for one in missing))} into {options.out}.\n"
        "LDCT-and-Projection-data, Mayo Clinic, doi 10.7937/9npb-2637, CC BY 4.0."
    )
    if missing and not options.yes:
        try:
            answer = input("Download? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise InputError("Nothing was downloaded; answer y, or pass --yes.")
    download(series, options.out, progress=not options.quiet)
    print(f"All series are whole. Next: ldctdenoise data index {options.out} --split ldctbench")


def run_index(options: argparse.Namespace) -> None:
    from ..errors import Code, InputError, counted
    from ..system.files import check_exists, check_writable

    check_exists(options.folder, "the folder that holds the data")
    if both := sorted(set(options.validate) & set(options.test)):
        raise InputError(f"Patient {both[0]} cannot validate and test; name it once.", Code.ARGUMENT)
    from ..data.find_pairs import find_pairs
    from ..data.pairs_csv import SPLITS, Pair, write_pairs
    from ..data.splits import ldctbench_split, named_split, random_split

    target = options.out or options.folder / "pairs.csv"
    if options.folder.is_dir():
        check_writable(target, overwrite=options.overwrite)
    found = find_pairs(options.folder)
    patients = {pair.patient for pair in found.pairs}
    if options.validate or options.test:
        split_of = named_split(patients, options.validate, options.test)
    else:
        split_of = ldctbench_split(patients) if options.split == "ldctbench" else random_split(patients)
    left_out = [
        *found.left_out,
        *(f"Patient {name} is not in the benchmark's split." for name in sorted(patients - set(split_of))),
    ]
    if not split_of:
        raise InputError("None of the patients is in the benchmark's split; leave out --split ldctbench.")
    pairs = [Pair(one.patient, one.low, one.full, split_of[one.patient]) for one in found.pairs if one.patient in split_of]
    write_pairs(pairs, target)
    for sentence in left_out:
        print(f"Left out: {sentence}")
    counts = ", ".join(f"{sum(split == name for split in split_of.values())} {name}" for name in SPLITS)
    slices = sum(one.slices for one in found.pairs if one.patient in split_of)
    print(f"{target}: {counted(len(pairs), 'pair')}, {counted(slices, 'slice')}; patients: {counts}")
