"""``ldctdenoise lesion-test``: would a lesion here survive? A disc is inserted into a slice and denoised with and without."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_device, add_model, add_reading, load_denoiser, read_scan, slice_progress

if TYPE_CHECKING:
    from ..ct.scan import Scan
    from ..inference.engine import Denoiser
    from ..measures.signal_kept import Lesion

NOT_TESTED = -1.0
"""What a map holds where there is no place. NaN would do, but ITK reads NaN from NIfTI as 0, which is "wiped out"."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("lesion-test", help="test whether a small lesion survives", description=__doc__)
    parser.add_argument("input", type=Path, help="volume file (NRRD, NIfTI, MetaImage), DICOM folder, DICOMDIR or DICOM file")
    parser.add_argument("--at", type=place, required=True, metavar="I,J,K|X,Y,Z",
                        help="voxel (whole numbers: column, row, slice of the file) or mm with a decimal point (right, anterior, "
                        "superior, as Slicer shows them); --at=-1.0,2,3 where the first is negative")  # fmt: skip
    parser.add_argument("--contrast", type=contrast, default=-20.0, metavar="HU", help="of the disc (default -20)")
    parser.add_argument(
        "--diameter", type=millimetres, nargs="+", default=[8.0], metavar="MM", help="of the disc (default 8), or several"
    )
    parser.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="write signal kept at many places of the slice (the first diameter's) to FILE, and the noise "
        "that is left to FILE with _noise_left before its ending; -1 is where nothing was tested",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--series", metavar="UID", help="SeriesInstanceUID, when DICOM holds several CT series")
    add_reading(parser)
    add_device(parser)
    add_model(parser)
    parser.set_defaults(run=run)


def place(text: str) -> tuple[float, float, float] | tuple[int, int, int]:
    """Three whole numbers, or three numbers of which one has a decimal point."""
    parts = text.split(",")
    try:
        if len(parts) != 3:
            raise ValueError
        if "." in text:
            x, y, z = (float(part) for part in parts)
            return x, y, z
        i, j, k = (int(part) for part in parts)
        return i, j, k
    except ValueError:
        message = f"'{text}' is no place: give a voxel such as 256,200,40 or mm such as 12.0,-30.5,-410.0"
        raise argparse.ArgumentTypeError(message) from None


def contrast(text: str) -> float:
    """A number of HU other than 0."""
    value = _number(text)
    if not (math.isfinite(value) and value):
        raise argparse.ArgumentTypeError(f"'{text}' is no contrast; give a number of HU other than 0")
    return value


def millimetres(text: str) -> float:
    """A number above 0."""
    value = _number(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is no length; give a number of mm above 0")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def run(options: argparse.Namespace) -> None:
    from ..system.files import check_exists

    check_exists(options.input, "a volume file or a DICOM folder")
    from ..measures.lesion_test import try_lesion
    from ..measures.signal_kept import Lesion

    lesions = [Lesion(options.contrast, diameter / 2) for diameter in options.diameter]
    maps = _map_files(options)
    scan = read_scan(options)
    where = _voxel(options.at, scan)
    denoiser = load_denoiser(options)
    answers = []
    for diameter, lesion in zip(options.diameter, lesions, strict=True):
        answer = try_lesion(denoiser, scan.hu, where, lesion, scan.spacing, halo_px=denoiser.halo)
        figures = {name: None if math.isnan(value) else value for name, value in answer.figures.items()}
        answers.append({"contrast": options.contrast, "diameter": diameter, **figures})
    told: dict[str, Any] = {
        "slice": where[0],
        "row": where[1],
        "column": where[2],
        "device": str(denoiser.device),
        "answers": answers,
    }
    if maps:
        told["map"] = _write_maps(maps, scan, where[0], lesions[0], denoiser, overwrite=options.overwrite, quiet=options.quiet)
    if options.json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    print(f"{options.contrast:+g} HU at slice {where[0]}, row {where[1]}, column {where[2]}")
    print(f"{'diameter':>10} {'signal kept':>12} {'noise, HU':>14} {'CNR':>12}")
    for row in answers:
        pairs = [f"{_figure(row[f'{name}_before'])} > {_figure(row[f'{name}_after'])}" for name in ("noise", "cnr")]
        print(f"{row['diameter']:>7g} mm {100 * row['signal_kept']:>10.0f} % {pairs[0]:>14} {pairs[1]:>12}")
    if maps:
        print(*_map_lines(told["map"]), sep="\n")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _map_lines(told: dict[str, Any]) -> Iterator[str]:
    kept, left = told["signal_kept"], told["noise_left"]
    yield f"signal kept at {told['places']} places: median {_share(kept['median'])}, least {_share(kept['least'])}"
    if left is None:
        yield "noise left: not measured, for no uniform soft tissue near this slice shows the scan's own noise"
    else:
        yield f"noise left there: median {_share(left['median'])}, most {_share(left['most'])}"


def _voxel(at: tuple[float, float, float] | tuple[int, int, int], scan: Scan) -> tuple[int, int, int]:
    """Slice, row and column of a place; mm are RAS."""
    from ..errors import InputError

    if isinstance(at[0], float):
        x, y, z = at
        try:
            found = scan.geometry.index_of((-x, -y, z))
        except (OverflowError, ValueError) as error:  # infinite, or not a number
            raise InputError(f"The place {x:g}, {y:g}, {z:g} mm cannot be found in the volume; give three numbers.") from error
        if not all(0 <= index < count for index, count in zip(found, scan.hu.shape, strict=True)):
            raise InputError(f"The place {x:g}, {y:g}, {z:g} mm lies outside the volume; choose a place inside the body.")
        return found
    index = [int(n) for n in at[::-1]]  # as the file's axes: slowest first
    index.insert(0, index.pop(scan.geometry.axis))
    return index[0], index[1], index[2]


def _map_files(options: argparse.Namespace) -> tuple[Path, ...]:
    """Where signal kept and noise left go, after making sure that they can be written; empty without a map."""
    from ..system.files import check_apart
    from ..volumes.volume_file import check_volume_output, volume_suffix

    if options.map is None:
        return ()
    suffix = options.map.name[-len(volume_suffix(options.map) or " ") :]
    files = options.map, options.map.with_name(options.map.name.removesuffix(suffix) + f"_noise_left{suffix}")
    for path in files:
        check_apart(options.input, path)
        check_volume_output(path, overwrite=options.overwrite)
    return files


def _write_maps(
    files: tuple[Path, ...], scan: Scan, index: int, lesion: Lesion, denoiser: Denoiser, *, overwrite: bool, quiet: bool
) -> dict[str, Any]:
    """Signal kept and noise left as volumes of one slice, at the slice's place; the figures for JSON."""
    import numpy as np

    from ..simulation.lesion_map import map_slice
    from ..volumes.volume_file import write_volume

    with slice_progress("Map", unit="pass", quiet=quiet) as progress:
        found = map_slice(denoiser, scan.hu, index, lesion, scan.spacing, seed=index, progress=progress)
    left = np.full(len(found.places), np.nan) if found.noise_left is None else found.noise_left
    for path, values in zip(files, (found.signal_kept, left), strict=True):
        image = np.nan_to_num(found.image(values), nan=NOT_TESTED)
        write_volume(scan.part(index, index + 1).with_hu(image[None]), path, overwrite=overwrite)
    return {
        "diameter": 2 * lesion.radius_mm,
        "places": len(found.places),
        "signal_kept": {**found.kept_figures, "file": str(files[0])},
        "noise_left": None if found.left_figures is None else {**found.left_figures, "file": str(files[1])},
    }
