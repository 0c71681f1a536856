"""One input path to one output path: what ``ldctdenoise denoise`` does once and ``ldctdenoise batch`` many times."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .engine import Denoiser
from .hu_check import check_hu
from .volumes import check_volume_output, read_volume, write_volume


@dataclass(frozen=True)
class FileOptions:
    """How to read the input and write the output.

    Attributes:
        axis: "auto", or the array axis ("0", "1", "2", slowest first) that runs through the slices.
        series: SeriesInstanceUID, when the input is DICOM with several CT series.
        slices: zero-based half-open range to denoise; the others are copied. None is all.
        force: go on when the voxels do not look like HU.
        overwrite: replace an output that exists.
    """

    axis: str = "auto"
    series: str | None = None
    slices: tuple[int, int] | None = None
    force: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class DenoisedFile:
    """What was done.

    Attributes:
        slices: the half-open range that was denoised.
        seconds: spent on denoising, without reading and writing.
    """

    slices: tuple[int, int]
    seconds: float


def check_output(source: Path, target: Path, *, overwrite: bool) -> None:
    """Make sure, before a model is loaded, that the output can be written.

    Raises:
        InputError: it cannot; it says why.
    """
    check_volume_output(target, overwrite=overwrite)


def denoise_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    denoiser: Denoiser,
    options: FileOptions = FileOptions(),
    *,
    progress: Callable[[int, int], object] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> DenoisedFile:
    """Denoise a volume file or a DICOM folder; the output is whole or absent.

    Args:
        source: a volume file, or a folder of DICOM files.
        target: the output.
        denoiser: a loaded model.
        options: how to read and write.
        progress: called with (slices done, slices to do) after every batch.
        cancel: asked before every batch; true stops.

    Raises:
        InputError: the input cannot be used or the output not be written.
        DenoisingCancelled: ``cancel`` returned true.
        DeviceError: not enough memory.
    """
    source, target = Path(source), Path(target)
    check_output(source, target, overwrite=options.overwrite)
    volume = read_volume(source, axis=options.axis, series=options.series)
    if not options.force:
        check_hu(volume.hu)
    start = time.perf_counter()
    hu = denoiser(volume.hu, slices=options.slices, progress=progress, cancel=cancel, padding_value=volume.padding_value)
    seconds = time.perf_counter() - start
    write_volume(volume.with_hu(hu), target)
    return DenoisedFile(options.slices or (0, len(hu)), seconds)
