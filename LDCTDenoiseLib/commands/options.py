"""Option types and options that several commands share."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..models.options import DenoisingOptions
from ..stores.address import Address, place

if TYPE_CHECKING:
    from ..ct.scan import Scan
    from ..denoising.batch.items import Shard
    from ..dicom.write_series import DicomOutput
    from ..inference.engine import Denoiser

log = logging.getLogger(__name__)
COMPRESSIONS = ("none", "rle", "jpeg-ls", "jpeg2000")


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 1 < value <= 100:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 1; did you mean {value / 100:g}?")
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 1")
    return value


def dose(text: str) -> float:
    """A dose fraction above 0 and at most 1."""
    value = fraction(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no dose; give a number above 0 and at most 1")
    return value


def slice_range(text: str) -> tuple[int, int]:
    """A zero-based half-open range A:B."""
    start, colon, stop = text.partition(":")
    if not (colon and start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a slice range A:B with A < B, counted from 0, B not included")
    return int(start), int(stop)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 1")
    return int(text)


def gpus(text: str) -> float:
    """A whole number of GPUs, or a part of one."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (0 <= value <= 1 or value in range(2, 17)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of GPUs: 0, a part of 1, 1 or more")
    return value


def shard(text: str) -> Shard:
    """I/N: the part I, counted from 0, of N."""
    from ..denoising.batch.items import Shard

    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and int(number) < int(count)):
        raise argparse.ArgumentTypeError(f"'{text}' is not a shard I/N with I < N, counted from 0: 0/4, 1/4, 2/4, 3/4")
    return Shard(int(number), int(count))


def count(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number of at least 0")
    return int(text)


def device_name(text: str) -> str:
    """A name that devices are found by."""
    from ..errors import DeviceError
    from ..system.devices import check_device_name

    try:
        check_device_name(text)
    except DeviceError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def series_number(text: str) -> int:
    """A number that a DICOM series may have, with room for one for each acquisition."""
    try:
        value = int(text)
    except ValueError:
        value = 2**31
    if abs(value) > 2**31 - 10_000:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number that a SeriesNumber can be")
    return value


def path_or_address(text: str) -> Path | Address:
    """A path of this machine, or an address in a store."""
    try:
        return place(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_device(parser: argparse.ArgumentParser) -> None:
    _add_options(parser, "device")


def add_volume_options(parser: argparse.ArgumentParser, *, output: str = "volume file to write") -> None:
    """Input, output, and how to read the one and write the other."""
    parser.add_argument("input", type=Path, help="volume file (NRRD, NIfTI, MetaImage), DICOM folder, DICOMDIR or DICOM file")
    parser.add_argument("output", type=Path, help=output)
    add_reading(parser)
    parser.add_argument("--series", metavar="UID", help="SeriesInstanceUID, when DICOM holds several CT series")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How to read inputs, whether to replace outputs, and how much to say."""
    parser.add_argument(
        "--axis", choices=["auto", "0", "1", "2"], default="auto", help="array axis of the slices (default: from the geometry)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    parser.add_argument("--force", action="store_true", help="go on even if the input is no CT or not in HU")
    parser.add_argument(
        "--allow-missing", action="store_true", help="go on without DICOM files that may be slices and cannot be read"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it is applied: all of ``DenoisingOptions`` but the device."""
    _add_options(parser, *(one.name for one in fields(DenoisingOptions) if one.name != "device"))


def _add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    parse: dict[str, Callable[[str], Any]] = {"str": str, "int | None": positive, "float": fraction}
    for one in fields(DenoisingOptions):
        if one.name in names:
            flag = f"--{one.name.replace('_', '-')}"
            kind = device_name if one.name == "device" else parse[str(one.type)]
            parser.add_argument(flag, default=one.default, type=kind, **one.metadata["argument"])


def denoising_options(options: argparse.Namespace) -> DenoisingOptions:
    """The options of :func:`add_device` and :func:`add_model`, parsed."""
    return DenoisingOptions(**{one.name: getattr(options, one.name) for one in fields(DenoisingOptions)})


def load_denoiser(options: argparse.Namespace) -> Denoiser:
    """The same as a loaded model."""
    from ..inference.engine import Denoiser

    return Denoiser.from_options(denoising_options(options))


def add_dicom_output(parser: argparse.ArgumentParser) -> None:
    """How a derived DICOM series is written."""
    group = parser.add_argument_group("DICOM output")
    group.add_argument("--compress", choices=COMPRESSIONS, default="none", help="lossless compression (default: none)")
    group.add_argument(
        "--series-number-offset",
        type=series_number,
        default=1000,
        metavar="N",
        help="added to the source's SeriesNumber (default 1000)",
    )
    group.add_argument(
        "--keep-private", action="store_true", help="keep private and unknown tags (default: drop what may identify or mislead)"
    )


def dicom_output(options: argparse.Namespace) -> DicomOutput:
    """The options of :func:`add_dicom_output`, parsed."""
    from ..dicom.write_series import Compression, DicomOutput

    return DicomOutput(options.series_number_offset, options.keep_private, Compression(options.compress))


def read_scan(options: argparse.Namespace) -> Scan:
    """The CT that a command's input and reading options name, after the HU check.

    Raises:
        InputError: it cannot be used.
    """
    from ..ct.hu_check import check_hu
    from ..volumes.volume_file import read_volume

    scan = read_volume(
        options.input, axis=options.axis, series=options.series, force=options.force, allow_missing=options.allow_missing
    )
    if not options.force:
        check_hu(scan.hu, scan.padding)
    return scan


@contextmanager
def said_when_written(path: Path) -> Iterator[None]:
    """At the end one line says what was written, and in how many seconds; ``--quiet`` keeps it back."""
    start = time.perf_counter()
    yield
    log.info("Wrote %s in %.1f s.", path, time.perf_counter() - start)


@contextmanager
def slice_progress(title: str, *, quiet: bool, unit: str = "slice") -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr: what it gives is called with the number of slices done and their total."""
    from tqdm import tqdm

    # delay: no bar before the first slices are done, so that none stands above an error about the volume.
    with tqdm(unit=unit, desc=title, disable=quiet, file=sys.stderr, delay=1e-6) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
