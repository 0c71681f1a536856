"""Writing a derived series: a folder with one file per source slice, whole or not at all."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import get_encoder
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from ..errors import DenoisingCancelled, InputError, MissingExtraError, OutputError
from ..models.provenance import Provenance
from .ct_series import CTSeries
from .derivation import derived_uid, recipe
from .derived_header import derived_header
from .derived_pixels import set_pixels
from .output_folder import replace_folder_when_complete
from .read_file import damage_in
from .text_bytes import put_bytes_back

_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


class Compression(StrEnum):
    """Lossless compression of the pixels that are written."""

    NONE = "none"
    RLE = "rle"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg2000"

    @property
    def transfer_syntax(self) -> UID:
        """The DICOM transfer syntax of the compression."""
        return _TRANSFER_SYNTAXES[self]


_TRANSFER_SYNTAXES = {
    Compression.NONE: ExplicitVRLittleEndian,
    Compression.RLE: RLELossless,
    Compression.JPEG_LS: JPEGLSLossless,
    Compression.JPEG_2000: JPEG2000Lossless,
}


@dataclass(frozen=True)
class DicomOutput:
    """How to write a derived series.

    Attributes:
        series_number_offset: added to the source's SeriesNumber.
        keep_private: keep private and unknown tags. They may describe pixels that have changed, or the patient, in ways
            that nobody here knows; so they are dropped unless asked for.
        compression: of the pixels, lossless.
    """

    series_number_offset: int = 1000
    keep_private: bool = False
    compression: Compression = Compression.NONE

    def check(self) -> None:
        """Make sure that the compression can be done.

        Raises:
            MissingExtraError: its encoder is not installed.
        """
        if self.compression is not Compression.NONE and not get_encoder(self.compression.transfer_syntax).is_available:
            raise MissingExtraError(
                f"Writing {self.compression.value} needs an encoder that is not installed: pip install 'ldctdenoise[dicom]'."
            )


def check_identity(series: CTSeries) -> None:
    """Make sure that the slices have the UIDs without which nothing can be derived from them.

    Raises:
        InputError: one lacks a UID.
    """
    for one in series.slices:
        lacking = next((tag for tag in _IDENTITY if not one.header.get(tag)), None)
        if lacking:
            raise InputError(f"{one.path.name} lacks {lacking}, without which no DICOM can be derived; write a volume file.")


def write_derived_series(
    series: CTSeries,
    hu: np.ndarray,
    folder: Path,
    made: Provenance,
    output: DicomOutput = DicomOutput(),
    *,
    overwrite: bool = False,
    cancel: Callable[[], bool] | None = None,
) -> list[str]:
    """Write one single-frame file per slice; each acquisition becomes a series.

    The UIDs follow from the source's, the result and what made it: the same run again gives the same.

    Args:
        series: the source.
        hu: (slices, rows, columns), in the order of ``series.hu``.
        folder: made, or replaced if ``overwrite`` and it holds nothing but a derived series.
        made: what was done.
        output: how to write.
        overwrite: replace a derived series.
        cancel: asked before every slice; true stops.

    Returns:
        The new SeriesInstanceUIDs.

    Raises:
        InputError: a slice lacks a UID.
        OutputError: the folder cannot be written.
        MissingExtraError: the compression's encoder is not installed.
        DenoisingCancelled: ``cancel`` returned true.
    """
    check_identity(series)
    output.check()
    digest = hashlib.blake2b(np.ascontiguousarray(hu).data, digest_size=16).hexdigest()
    made_by = (digest, recipe(made), made.slices, output.series_number_offset, output.keep_private)
    new_series = []
    with replace_folder_when_complete(folder, overwrite=overwrite) as temporary:
        index = 0
        for number, acquisition in enumerate(series.acquisitions):
            uses: Counter[tuple[str, int | None]] = Counter()
            new_series.append(derived_uid(acquisition.slices[0].header.SeriesInstanceUID, number, *made_by))
            for one in acquisition.slices:
                if cancel is not None and cancel():
                    raise DenoisingCancelled("Denoising was cancelled; nothing was written.")
                with damage_in(one.path):  # its header is written again here, with values that nobody has looked at
                    header = derived_header(
                        one,
                        index,
                        made,
                        series_number_offset=output.series_number_offset + number,
                        keep_private=output.keep_private,
                    )
                    set_pixels(header, one, series.hu[index], hu[index])
                    source = (one.header.SOPInstanceUID, one.frame)
                    repeated = [uses[source]] if uses[source] else []
                    uses[source] += 1
                    header.SOPInstanceUID = derived_uid(new_series[-1], *source, *repeated)
                    header.SeriesInstanceUID = new_series[-1]
                    index += 1
                    _save(header, temporary / f"{index:05d}.dcm", output.compression)
    return new_series


def _save(dataset: Dataset, path: Path, compression: Compression) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.set_original_encoding(False, True)
    if compression is not Compression.NONE:
        try:
            dataset.compress(compression.transfer_syntax, generate_instance_uid=False)
        except (RuntimeError, ValueError) as error:  # such as JPEG 2000 of very small slices
            raise OutputError(f"{path.name} cannot be compressed as {compression.value}; choose another compression.") from error
    put_bytes_back(dataset)
    dataset.save_as(path, enforce_file_format=True)
