"""CT volumes from files and back: NRRD, NIfTI, MetaImage and DICOM folders, with their geometry."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..ct.scan import Scan
from ..errors import Code, InputError, OutputError
from ..system.argument_types import as_path, check_type
from ..system.files import check_exists, check_writable, replace_when_complete, unchanged
from ..system.memory import check_memory
from .images import image_of, scan_of
from .payload import Payload, check_payload, find_payload

VOLUME_SUFFIXES = (".nrrd", ".nhdr", ".nii.gz", ".nii", ".mha", ".mhd")
WRITABLE_SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha")
"""One-file formats: a header with its voxels in a second file cannot be replaced in one step."""
_READERS = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""ITK's readers by suffix, NIfTI's for the others. Left to itself, ITK tries every reader it has on a file."""


def volume_suffix(path: str | os.PathLike[str]) -> str | None:
    """The volume suffix of a file name (".nii.gz" counts as one), or None."""
    name = Path(path).name.lower()
    return next((suffix for suffix in VOLUME_SUFFIXES if name.endswith(suffix)), None)


def holds_dicom(path: Path) -> bool:
    """Whether an input is DICOM: any folder, or a file that starts as DICOM does."""
    from ..dicom.read_file import is_dicom

    return path.is_dir() or (path.is_file() and volume_suffix(path) is None and is_dicom(path))


def read_volume(
    path: str | os.PathLike[str],
    *,
    axis: str = "auto",
    series: str | None = None,
    force: bool = False,
    allow_missing: bool = False,
) -> Scan:
    """Read a volume file, or a CT series in DICOM.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from LDCTDenoiseLib.ct.scan import Geometry, Scan
        >>> ct = Scan(np.full((2, 32, 32), 40, np.int16), Geometry((5.0, 0.7, 0.7)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_volume(ct, f"{folder}/ct.nrrd")
        ...     read = read_volume(f"{folder}/ct.nrrd")
        >>> read.hu.shape, read.spacing
        ((2, 32, 32), (0.7, 0.7))

    Args:
        path: an NRRD, NIfTI or MetaImage file, a folder of DICOM files, a DICOMDIR or a DICOM file.
        axis: "auto", or the array axis ("0", "1", "2", slowest first) that runs through the slices.
        series: SeriesInstanceUID of the series to read from DICOM.
        force: take DICOM of another modality, or with values that are not HU, for CT in HU.
        allow_missing: leave out DICOM files that may be slices and cannot be read.

    Raises:
        InputError: missing, unreadable, empty, not three-dimensional or not scalar.
    """
    source = as_path(path, "volume's path")
    check_exists(source, "a volume file or a DICOM folder")
    if axis not in ("auto", "0", "1", "2"):
        raise InputError(f"'{axis}' is not an axis; choose auto, 0, 1 or 2.")
    if holds_dicom(source):
        from ..dicom.as_volume import read_dicom_volume

        scan = read_dicom_volume(source, series, force=force, allow_missing=allow_missing)
    elif series is not None:
        raise InputError(f"A series is chosen from DICOM, and {source.name} is a volume file; choose none.")
    else:
        scan = scan_of(_read_file(source))
    return scan.along(None if axis == "auto" else int(axis))


def volume_size(path: Path) -> tuple[int, ...]:
    """Voxels along the axes of a volume file that are read, by its header alone; as ITK has them, slices last as a rule.

    Raises:
        InputError: it cannot be read.
    """
    with told_as_input_error(path):
        find_payload(path, volume_suffix(path) or "")  # what would crash ITK is refused
        return tuple(_open(path).GetSize()[:3])


def has_field(path: Path, name: str) -> bool:
    """Whether the header of a volume file that can be read has a text of this name, as ``write_volume`` writes them.

    Raises:
        InputError: it cannot be read any more.
    """
    with told_as_input_error(path):
        return bool(_open(path).HasMetaDataKey(name))


def _read_file(path: Path) -> sitk.Image:
    if volume_suffix(path) is None:
        raise InputError(f"{path.name} is not a volume file that can be read; use {', '.join(VOLUME_SUFFIXES)}.")
    if not path.is_file():
        raise InputError(f"{path.name} is not a regular file; give a volume file or a DICOM folder.")
    if not _is_utf8(path):
        raise InputError(f"{path} has a name that is not UTF-8, which ITK cannot open; rename it.")
    with told_as_input_error(path), unchanged(path):
        payload = find_payload(path, volume_suffix(path) or "")
        with unchanged(payload.path):
            reader = _open(path)
            check_memory(path.name, reader.GetSize(), sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent())
            _check_voxels(path, payload, reader)
            return reader.Execute()


@contextmanager
def told_as_input_error(path: Path) -> Iterator[None]:
    """Around the reading of an input.

    Raises:
        InputError: it is gone, may not be read, or ITK cannot read it.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}); make sure that you may read it.") from error
    except RuntimeError as error:
        raise InputError(
            f"{path.name} cannot be read ({_reason(error)}); it may be damaged, or of another format than its name says."
        ) from error


def _open(path: Path) -> sitk.ImageFileReader:
    """A reader that has read a header and found one volume in it."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(_READERS.get(volume_suffix(path) or "", "NiftiImageIO"))
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size, components = reader.GetSize(), reader.GetNumberOfComponents()
    if components != 1:
        raise InputError(
            f"{path.name} has {components} values per voxel (a colour or vector image); "
            "a CT volume with one value per voxel is needed."
        )
    # A trailing axis of length one is a three-dimensional volume written with a fourth axis.
    spatial = size[:3] + tuple(n for n in size[3:] if n != 1)
    if len(spatial) > 3:
        raise InputError(f"{path.name} has {len(size)} axes {size}; extract one frame as a 3-D volume first.")
    if len(size) > 3:
        reader.SetExtractSize([*size[:3], *[0] * (len(size) - 3)])
    if 0 in size:
        raise InputError(f"{path.name} is empty: its size is {size}.")
    return reader


def _check_voxels(path: Path, payload: Payload, reader: sitk.ImageFileReader) -> None:
    header_bytes, voxel_bytes = 0, sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent()
    if reader.GetImageIO() == "NiftiImageIO":
        header_bytes = int(float(reader.GetMetaData("vox_offset")))
        voxel_bytes = int(reader.GetMetaData("bitpix")) // 8  # smaller than in memory, when the file is rescaled
    size = reader.GetSize()
    check_payload(path, payload, header_bytes + math.prod(size) * voxel_bytes, size[0] * voxel_bytes)


def _reason(error: Exception) -> str:
    """The last line of an ITK error that says something: "Reason: " lines hold a stale errno."""
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith("Reason:")]
    return re.sub(r"^(sitk::|ITK )ERROR: (\w+\(0x\w+\): )?", "", told[-1] if told else "unknown format").rstrip(".!")


def check_volume_output(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """The output path, after making sure before any computation that it can be written.

    Raises:
        OutputError: no volume format, no such folder, not writable, or already there without ``overwrite``.
    """
    target = Path(path)
    if target.is_dir() or volume_suffix(target) not in WRITABLE_SUFFIXES:
        raise _no_volume_file(target)
    if not _is_utf8(target.absolute()):
        raise OutputError(f"{target} has a name that is not UTF-8, which ITK cannot open; choose another name.")
    return check_writable(target, overwrite=overwrite)


def check_geometry(scan: Scan, path: str | os.PathLike[str]) -> None:
    """Make sure that a volume file can hold where the voxels of a scan lie.

    NIfTI has a rotation for its axes, and none at other than right angles: ITK would straighten them.

    Raises:
        OutputError: straightened axes would take a voxel over half its size elsewhere.
    """
    target, geometry = Path(path), scan.geometry
    if (volume_suffix(target) or "") not in (".nii", ".nii.gz"):
        return
    left, _, right = np.linalg.svd(geometry.directions)
    moved = np.linalg.norm(geometry.directions - left @ right, axis=1) @ np.multiply(scan.hu.shape, geometry.spacing)
    if moved > min(geometry.spacing) / 2:
        raise OutputError(
            f"The volume is sheared (its axes are not at right angles), which a NIfTI file such as {target.name} cannot hold; "
            "write .nrrd or .mha."
        )


def _no_volume_file(target: Path) -> OutputError:
    code = Code.OUTPUT if target.is_dir() else Code.ARGUMENT
    return OutputError(f"The output {target.name} must be a volume file: {', '.join(WRITABLE_SUFFIXES)}.", code)


def _is_utf8(path: Path) -> bool:
    """Whether a path can be given to ITK, which ends the process for any other."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def write_volume(
    scan: Scan, path: str | os.PathLike[str], fields: Mapping[str, str] | None = None, *, overwrite: bool = True
) -> None:
    """Write a scan with the geometry and the voxel type it has, whole or not at all.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from LDCTDenoiseLib.ct.scan import Geometry, Scan
        >>> ct = Scan(np.full((2, 32, 32), 40, np.int16), Geometry((5.0, 0.7, 0.7)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_volume(ct, f"{folder}/ct.nii.gz")

    Args:
        scan: to write.
        path: its suffix chooses the format.
        fields: texts for the header by their names, such as ``Provenance.as_fields``; only NRRD has a place for them.
        overwrite: replace a file that exists.

    Raises:
        OutputError: the file cannot be written, or exists, or its format cannot hold the geometry.
    """
    target = as_path(path, "output")
    check_type(scan, Scan, "volume", "a Scan (voxels with their geometry)")
    if volume_suffix(target) not in WRITABLE_SUFFIXES:
        raise _no_volume_file(target)
    check_geometry(scan, target)
    image = image_of(scan)
    if fields and volume_suffix(target) == ".nrrd":
        for name, text in fields.items():
            image.SetMetaData(name, text)
    with replace_when_complete(target, volume_suffix(target) or "", overwrite=overwrite) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
        except RuntimeError as error:
            raise OutputError(f"{target.name} cannot be written ({_reason(error)}); choose another output.") from error
        try:
            # ITK writes half a NIfTI file on a full disk and calls it done.
            _check_voxels(temporary, find_payload(temporary, volume_suffix(target) or ""), _open(temporary))
        except (InputError, OSError, RuntimeError) as error:
            raise OutputError(f"{target.name} was not written whole; make sure that the disk has space.") from error
