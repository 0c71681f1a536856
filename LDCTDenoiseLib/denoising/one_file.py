"""One input path to one output path: what ``ldctdenoise denoise`` does once and ``ldctdenoise batch`` many times."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..ct.hu_check import check_hu
from ..ct.scan import Scan
from ..dicom.as_volume import read_dicom_volume
from ..dicom.ct_series import CTSeries, read_ct_series
from ..dicom.find_series import SeriesFiles, choose_series
from ..dicom.output_folder import check_folder_output
from ..dicom.source_files import list_folders
from ..dicom.write_series import DicomOutput, check_identity, write_derived_series
from ..errors import Code, InputError, OutputError
from ..models.provenance import SOFTWARE_FIELD, Provenance
from ..system.argument_types import as_path, check_type
from ..system.files import check_there
from ..volumes.volume_file import (
    check_geometry,
    check_volume_output,
    has_field,
    holds_dicom,
    read_volume,
    volume_suffix,
    write_volume,
)

if TYPE_CHECKING:  # it brings torch, and reading need not wait for that
    from ..inference.engine import Denoiser

log = logging.getLogger(__name__)

Source = Path | SeriesFiles
Input = Scan | CTSeries
Progress = Callable[[int, int], object]
Cancel = Callable[[], bool]


@dataclass(frozen=True)
class ToLoad:
    """A model that is loaded while the input is read: importing torch takes as long as reading a volume.

    Attributes:
        load: gives the model; called in a thread of its own.
    """

    load: Callable[[], Denoiser]


@dataclass(frozen=True)
class FileOptions:
    """How to read the input and write the output.

    Attributes:
        axis: "auto", or the array axis ("0", "1", "2", slowest first) that runs through the slices of a volume file.
        series: SeriesInstanceUID, when the input is DICOM with several CT series.
        slices: zero-based half-open range to denoise; the others are copied. None is all.
        force: go on when the input is not CT, does not look like HU or was made by this program.
        allow_missing: leave out DICOM files that may be slices and cannot be read.
        overwrite: replace an output that exists.
        dicom: how to write DICOM.
    """

    axis: str = "auto"
    series: str | None = None
    slices: tuple[int, int] | None = None
    force: bool = False
    allow_missing: bool = False
    overwrite: bool = False
    dicom: DicomOutput = field(default_factory=DicomOutput)


Read = Callable[[Source, Path, FileOptions], Input]
"""Reads a source for a target."""


@dataclass(frozen=True)
class DenoisedFile:
    """What was done.

    Attributes:
        made: what made the output.
        seconds: spent on denoising, without reading and writing.
        series: SeriesInstanceUIDs that were written; none for a volume file.
    """

    made: Provenance
    seconds: float
    series: tuple[str, ...] = ()

    @property
    def slices(self) -> int:
        """How many were denoised."""
        return self.made.slices[1] - self.made.slices[0]


def writes_dicom(source: Source, target: Path) -> bool:
    """Whether the output is a DICOM folder: the input is DICOM, and the output has no name of a volume file.

    A series that was found before always becomes a folder.
    """
    return isinstance(source, SeriesFiles) or (volume_suffix(target) is None and holds_dicom(source))


def check_output(source: Source, target: Path, options: FileOptions) -> None:
    """Make sure, before a model is loaded, that the output can be written.

    Raises:
        OutputError: it cannot; it says why.
        InputError: there is no input, or the options do not fit.
        MissingExtraError: the compression's encoder is not installed.
    """
    place = source.folder if isinstance(source, SeriesFiles) else source
    check_there(place, target)
    if not writes_dicom(source, target):
        check_volume_output(target, overwrite=options.overwrite)
        return
    if target.suffix.lower() == ".dcm":
        raise OutputError(f"The output {target.name} is named as a DICOM file; give a folder, or a volume file.")
    if options.axis != "auto":
        raise InputError("DICOM is denoised slice by slice as it is stored; leave the axis out, or write a volume file.")
    options.dicom.check()
    check_folder_output(place, target, overwrite=options.overwrite)


def denoise_file(
    source: str | os.PathLike[str] | SeriesFiles,
    target: str | os.PathLike[str],
    denoiser: Denoiser | ToLoad,
    options: FileOptions = FileOptions(),
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    read: Read | None = None,
) -> DenoisedFile:
    """Denoise a volume file or a CT series in DICOM; the output is whole or absent.

    Examples:
        >>> import tempfile
        >>> from LDCTDenoiseLib import Denoiser, denoise_file, write_volume
        >>> from LDCTDenoiseLib.ct.scan import Geometry, Scan
        >>> from LDCTDenoiseLib.simulation.phantom import make_phantom
        >>> phantom = make_phantom(1, 64)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_volume(Scan(phantom.scan(0.25), Geometry((5.0, *phantom.spacing))), f"{folder}/low.nrrd")
        ...     done = denoise_file(f"{folder}/low.nrrd", f"{folder}/denoised.nrrd", Denoiser())
        >>> done.slices, done.made.model
        (1, 'default')

    Args:
        source: a volume file, a folder of DICOM files, a DICOMDIR, a DICOM file, or a series that was found before.
        target: a volume file, or for DICOM also a folder.
        denoiser: a loaded model, or one to load when it is known that the output can be written.
        options: how to read and write.
        progress: called with (slices done, slices to do) after every batch.
        cancel: asked before every batch; true stops.
        read: reads the input in the place of :func:`read_input`, in another process for instance.

    Raises:
        InputError: the input cannot be used.
        OutputError: the output cannot be written.
        MissingExtraError: a decoder or encoder is not installed.
        DenoisingCancelled: ``cancel`` returned true.
        DeviceError: not enough memory.
    """
    source = source if isinstance(source, SeriesFiles) else as_path(source, "source")
    target = as_path(target, "target")
    check_type(options, FileOptions, "argument options", "a FileOptions")
    if not isinstance(denoiser, ToLoad) and not hasattr(denoiser, "provenance"):  # the class itself is slow to import
        raise InputError(f"The denoiser is a {type(denoiser).__name__}; a Denoiser is needed, such as Denoiser('default').")
    check_output(source, target, options)
    listing = source.listing if isinstance(source, SeriesFiles) else list_folders([source]) if source.is_dir() else None
    with _loading(denoiser) as loaded:
        scan = (read or read_input)(source, target, options)
        model = loaded()
        if isinstance(scan, CTSeries):
            _tell_about(scan)
        else:
            check_geometry(scan, target)
        if not options.force:
            check_hu(scan.hu, scan.padding)
        start = time.perf_counter()
        hu = model(scan.hu, slices=options.slices, progress=progress, cancel=cancel, padding_value=scan.padding)
        seconds = time.perf_counter() - start
        made = model.provenance(options.slices or (0, len(hu)))
        if listing is not None:
            listing.check_unchanged()
        if not isinstance(scan, CTSeries):
            write_volume(scan.with_hu(hu), target, made.as_fields(), overwrite=options.overwrite)
            return DenoisedFile(made, seconds)
        written = write_derived_series(scan, hu, target, made, options.dicom, overwrite=options.overwrite, cancel=cancel)
        return DenoisedFile(made, seconds, tuple(written))


@contextmanager
def _loading(denoiser: Denoiser | ToLoad) -> Iterator[Callable[[], Denoiser]]:
    """Load a model meanwhile; what is yielded waits for it."""
    if isinstance(denoiser, ToLoad):
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(denoiser.load).result
    else:
        yield lambda: denoiser


def read_input(source: Source, target: Path, options: FileOptions) -> Input:
    """What is to be denoised: a CT series if the output will be one, else a scan on a regular grid.

    Raises:
        InputError: it cannot be used.
        MissingExtraError: a decoder is not installed.
    """
    force, allow_missing = options.force, options.allow_missing
    if isinstance(source, Path) and not holds_dicom(source):
        volume = read_volume(source, axis=options.axis, series=options.series)
        if not force and source.exists() and has_field(source, SOFTWARE_FIELD):  # what vanished was read whole
            raise InputError(f"{source.name} was denoised by this program already; give its source.", Code.DERIVED)
        return volume
    files = source
    if isinstance(files, Path):
        files = choose_series(files, options.series, force=force, allow_missing=allow_missing)
    if files.derived and not force:
        raise InputError("The series was denoised by this program already; give its source.", Code.DERIVED)
    if writes_dicom(source, target):
        return read_ct_series(files, force=force, allow_missing=allow_missing)
    scan = read_dicom_volume(files, force=force, allow_missing=allow_missing)
    return scan.along(None if options.axis == "auto" else int(options.axis))


def _tell_about(series: CTSeries) -> None:
    """Say what is unusual about a series that can be denoised all the same.

    Raises:
        InputError: it lacks what a derived series must name.
    """
    check_identity(series)
    for acquisition in series.acquisitions:
        if acquisition.gap:
            log.warning("%s; every slice is denoised by itself, so this one goes on.", acquisition.gap)
        if acquisition.tilt_degrees:
            log.info("Gantry tilt of %.1f degrees: every slice keeps its own place.", acquisition.tilt_degrees)
