"""Compare the outputs of a batch with its inputs: slices of all, and contents, geometry and HU of a sample."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...ct.scan import Scan
from ...dicom.arrange import arrange
from ...dicom.ct_series import CTSeries, read_ct_series, read_slices, without_copies
from ...dicom.find_series import SeriesFiles, choose_series, find_series
from ...errors import InputError, LDCTDenoiseError
from ...inference.engine import Denoiser
from ...volumes.volume_file import volume_size, volume_suffix
from ..one_file import FileOptions, Input, Source, denoise_file, read_input
from .items import files_of_source, name_hash
from .records import content_hash, hash_of_output
from .report import Finding

SAMPLE = 20


@dataclass(frozen=True)
class Objection:
    """What is wrong with an output that is recorded as done.

    Attributes:
        output: relative to the batch's folder.
        reason: as a sentence.
    """

    output: Path
    reason: str


@dataclass
class Audit:
    """What was compared.

    Attributes:
        series: outputs whose slices were counted.
        slices: their number.
        sample: outputs of which all was compared.
        objections: what is wrong.
    """

    series: int
    slices: int
    sample: int
    objections: list[Objection]


def audit(done: Iterable[Finding], folder: Path, sample: int = SAMPLE) -> Audit:
    """Compare what is done with its inputs, where both are files.

    Of all outputs: as many slices as the input. Of a sample, chosen by the hashes of names: input and output have the content
    that the record tells; the grid is the input's; and the input, denoised with blend 0, written and read again as the batch
    does it, gives back every HU.

    Args:
        done: what is done.
        folder: of the outputs.
        sample: how many to compare wholly.
    """
    result = Audit(0, 0, 0, [])
    chosen: list[tuple[int, int, Finding]] = []
    for finding in done:
        source = _source_of(finding)
        if source is None:
            continue
        result.series += 1
        try:
            result.slices += _count_slices(source, folder / finding.output, _options_of(finding))
        except (LDCTDenoiseError, OSError) as error:
            result.objections.append(Objection(finding.output, str(error)))
        heapq.heappush(chosen, (-name_hash(finding.output.as_posix()), result.series, finding))
        if len(chosen) > sample:
            heapq.heappop(chosen)
    copying = Denoiser(blend=0, device="cpu")
    for _, _, finding in chosen:
        result.sample += 1
        try:
            _compare(finding, folder, copying)
        except (LDCTDenoiseError, OSError) as error:
            result.objections.append(Objection(finding.output, str(error)))
    return result


def _count_slices(source: Source, place: Path, options: FileOptions) -> int:
    """Slices of an output.

    Raises:
        InputError: there are more or fewer than in the input.
    """
    read = volume_size(source) if isinstance(source, Path) and volume_suffix(source) else _images(source, options)
    written = volume_size(place) if volume_suffix(place) else (sum(one.images for one in find_series(place).series),)
    # DICOM that became a volume file: slices are one of its axes.
    same = read == written or (len(read) == 1 and read[0] in written)
    if not same:
        raise InputError(f"The input has {_told(read)}, the output {_told(written)}.")
    return read[0] if len(read) == 1 else written[-1]


def _images(source: Source, options: FileOptions) -> tuple[int]:
    """Slices of DICOM that the batch reads: by the headers, unless those whose pixels are damaged are left out, too."""
    force, allow_missing = options.force, options.allow_missing
    if allow_missing:
        return (len(read_ct_series(source, options.series, force=force, allow_missing=True).slices),)
    series = choose_series(source, options.series, force=force) if isinstance(source, Path) else source
    acquisitions = arrange(without_copies(read_slices(series, force=force)))
    return (sum(len(one.slices) for one in acquisitions),)


def _told(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size)) + (" slices" if len(size) == 1 else " voxels")


def _source_of(finding: Finding) -> Source | None:
    """The input; None when it or the output lies in a store, where nothing is compared."""
    assert finding.item is not None
    source = finding.item.source
    return source if isinstance(source, (Path, SeriesFiles)) and finding.item.server is None else None


def _options_of(finding: Finding) -> FileOptions:
    """How the batch read the input."""
    assert finding.record is not None
    told = finding.record.options
    return FileOptions(told["axis"], told["series"], None, told["force"], told["allow_missing"])


def _read_output(place: Path, options: FileOptions) -> Input:
    """An output; where acquisitions became series of their own, all in their order, as the input is read.

    Raises:
        InputError: it cannot be read.
    """
    series = [] if volume_suffix(place) else find_series(place).series
    if len(series) < 2:
        return read_input(place, place, replace(options, series=None, force=True))
    parts = [read_ct_series(one, force=True) for one in series]
    return CTSeries([one for part in parts for one in part.acquisitions], np.concatenate([part.hu for part in parts]), None)


def _compare(finding: Finding, folder: Path, copying: Denoiser) -> None:
    """Compare all of an output.

    Raises:
        InputError: something differs.
    """
    source, place, record = _source_of(finding), folder / finding.output, finding.record
    assert source is not None
    assert record is not None
    if content_hash(files_of_source(source)) != record.input:
        raise InputError("The input has changed since it was denoised.")
    if hash_of_output(place) != record.output:
        raise InputError("The output has changed since it was made.")
    options = _options_of(finding)
    given = read_input(source, place, options)
    made = _read_output(place, options)
    if not _same_grid(given, made):
        raise InputError("The output has another grid than the input.")
    with tempfile.TemporaryDirectory(prefix="ldctdenoise-audit-") as private:
        copy = Path(private, place.name)
        denoise_file(source, copy, copying, replace(options, overwrite=True))
        again = _read_output(copy, options)
        if not np.array_equal(again.hu, given.hu):
            raise InputError("The input, denoised with blend 0, does not give back its HU.")
    if record.options["blend"] == 0 and not np.array_equal(made.hu, given.hu):
        raise InputError("It was denoised with blend 0, and its HU are not the input's.")


def _same_grid(one: Input, other: Input) -> bool:
    if isinstance(one, Scan) and isinstance(other, Scan):
        vectors = [[a.spacing, a.origin, *a.directions] for a in (one.geometry, other.geometry)]
        return one.hu.shape == other.hu.shape and np.allclose(np.hstack(vectors[0]), np.hstack(vectors[1]), atol=1e-3)
    if isinstance(one, CTSeries) and isinstance(other, CTSeries):
        return one.hu.shape == other.hu.shape and all(
            a.header.get("ImagePositionPatient") == b.header.get("ImagePositionPatient")
            and a.header.get("PixelSpacing") == b.header.get("PixelSpacing")
            for a, b in zip(one.slices, other.slices, strict=True)
        )
    return False
