"""Real series with awkward features: denoised with every HU and place right by pydicom's own reading, or refused with the reason.

The table of docs/dicom.md says the same.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising.one_file import FileOptions, denoise_file
from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.dicom.find_series import find_series
from LDCTDenoiseLib.dicom.write_series import write_derived_series
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.models.provenance import Provenance
from Testing.conftest import REPOSITORY

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

SMALL = "1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322"
PANCREAS = "1.2.826.0.1.3680043.2.1125.1.68878959984837726447916707551399667"
SYNTAXES = "transfer_syntaxes_CTImage_cornerstone"

DENOISED: dict[str, tuple[str, FileOptions, int]] = {  # what, how, images
    "gantry tilt": ("Philips_phantom_gantry_tilt_-18.5", FileOptions(), 8),
    "sheared stack": ("dicom2nifti_gantrytilting_001", FileOptions(), 4),
    "a missing slice": ("dicom2nifti_sliceincrement_001", FileOptions(), 4),
    "a missing slice, tilted": ("dicom2nifti_sliceincrement_002", FileOptions(), 4),
    "two acquisitions": ("dicom2nifti_notavolume_001", FileOptions(), 2),
    "tilt and uneven steps": ("GE_HiSpeed_gantry_tilt_variable_spacing", FileOptions(), 11),
    "several missing slices": ("missing_slices_CRLM-CT-1006", FileOptions(), 7),
    "chosen series": ("pydicom_misc", FileOptions(series=SMALL), 1),
    "chosen series with unknown VRs": ("pydicom_misc", FileOptions(series=PANCREAS), 1),
    "no HU, forced": ("enhanced_multiframe_CT", FileOptions(force=True), 2),
}

REFUSED: dict[str, tuple[str, str]] = {
    "localizer alone": ("Philips_phantom_localizer_and_secondary", "holds no CT slice in DICOM (files left out: 1 localizer)"),
    "no HU": ("enhanced_multiframe_CT", "has the RescaleType US and not HU"),
    "two series": ("pydicom_misc", "holds 2 CT series; choose one: "),
    "versions of one image": (SYNTAXES, "lie at the same place, and nothing tells two acquisitions apart"),
    "cut off": ("truncated_last_file_LIDC-0001_padding-2000", "The pixels of 1-084.dcm cannot be read"),
}

AS_VOLUME: dict[str, str] = {
    "Philips_phantom_gantry_tilt_-18.5": "gantry tilt of 18.5 degrees",
    "dicom2nifti_gantrytilting_001": "gantry tilt of 14.0 degrees",
    "dicom2nifti_sliceincrement_001": "jump by 10 mm after slice 3 (expected 5 mm): a slice is missing",
    "dicom2nifti_sliceincrement_002": "jump by 1.49941 mm after slice 3 (expected 0.749704 mm): a slice is missing",
    "dicom2nifti_notavolume_001": "holds 2 acquisitions",
    "GE_HiSpeed_gantry_tilt_variable_spacing": "jump by 4.00193 mm after slice 1 (expected 6.99863 mm): the spacing is uneven",
    "missing_slices_CRLM-CT-1006": "jump by 15 mm after slice 3 (expected 5 mm): a slice is missing",
}


def frames(path: Path) -> list[tuple[str, int | None, np.ndarray, np.ndarray]]:
    """UID, frame number, HU (float64) and place of every image of a file, by pydicom alone."""
    dataset = pydicom.dcmread(path)
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        return [(dataset.SOPInstanceUID, None, apply_rescale(dataset.pixel_array, dataset), _place(dataset))]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    rescale = shared.PixelValueTransformationSequence[0]
    return [
        (
            dataset.SOPInstanceUID,
            number + 1,
            dataset.pixel_array[number] * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept),
            _place(_flat(groups.PlanePositionSequence[0], shared.PlaneOrientationSequence[0], shared.PixelMeasuresSequence[0])),
        )
        for number, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence)
    ]


def _flat(*items: Dataset) -> Dataset:
    flat = Dataset()
    for item in items:
        flat.update(item)
    return flat


def _place(dataset: Dataset) -> np.ndarray:
    values = [*dataset.ImagePositionPatient, *dataset.ImageOrientationPatient, *dataset.PixelSpacing]
    return np.array([float(value) for value in values])


def assert_derived_exactly(source: list[Path], folder: Path) -> None:
    """Every image of the source is there once, with its HU and place."""
    expected = {(uid, number): (hu, place) for path in source for uid, number, hu, place in frames(path)}
    seen = set()
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        reference = dataset.SourceImageSequence[0]
        key = (reference.ReferencedSOPInstanceUID, reference.get("ReferencedFrameNumber"))
        seen.add(key)
        hu, place = expected[key]
        np.testing.assert_array_equal(apply_rescale(dataset.pixel_array, dataset), hu)
        np.testing.assert_array_equal(_place(dataset), place)
        assert dataset.SOPInstanceUID != key[0]
    assert seen == set(expected)


@pytest.mark.parametrize("name", DENOISED)
def test_it_is_denoised_with_every_hu_and_place_right(shared: Path, tmp_path: Path, zero: Denoiser, name: str) -> None:
    folder, options, count = DENOISED[name]
    source = shared / "data" / "awkward" / folder
    if options.series == PANCREAS:
        pytest.importorskip("openjpeg", reason="needs the extra: pip install 'ldctdenoise[dicom]'")
    # One slice through the network is enough: the others are copied, and written the same way.
    denoise_file(source, tmp_path / "out", zero, replace(options, slices=(0, 1)))
    assert len(list((tmp_path / "out").iterdir())) == count
    series = [one for one in find_series(source).series if options.series in (None, one.uid)]
    assert_derived_exactly([path for one in series for path in one.paths], tmp_path / "out")


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_the_reason(shared: Path, tmp_path: Path, zero: Denoiser, name: str) -> None:
    folder, sentence = REFUSED[name]
    with pytest.raises(InputError) as refused:
        denoise_file(shared / "data" / "awkward" / folder, tmp_path / "out", zero)
    assert sentence in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", AS_VOLUME)
def test_a_volume_file_is_refused_with_the_reason(shared: Path, tmp_path: Path, zero: Denoiser, folder: str) -> None:
    with pytest.raises(InputError) as refused:
        denoise_file(shared / "data" / "awkward" / folder, tmp_path / "out.nrrd", zero)
    assert AS_VOLUME[folder] in str(refused.value)
    assert "denoise to a DICOM folder" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_whole_files_beside_one_that_is_cut_off_are_right(shared: Path, tmp_path: Path, zero: Denoiser) -> None:
    source = shared / "data" / "awkward" / "truncated_last_file_LIDC-0001_padding-2000"
    for name in ("1-082.dcm", "1-083.dcm"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(source / name, tmp_path / "in")
    denoise_file(tmp_path / "in", tmp_path / "out", zero, FileOptions(slices=(0, 1)))
    assert_derived_exactly(sorted((tmp_path / "in").iterdir()), tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        dataset = pydicom.dcmread(path)
        assert dataset.PixelPaddingValue == 63536  # -2000, as the scanner wrote it


@pytest.mark.parametrize(
    "syntax",
    [
        "LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1",
        "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
        "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99",
        "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
        "JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50",  # 8 bits, slope 32.1216
        "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51",  # slope 2.0002442
        "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
        "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
        "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
        "JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81",
        "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
        "JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91",
    ],
)
def test_every_transfer_syntax_is_read_and_written_with_every_hu_right(shared: Path, tmp_path: Path, syntax: str) -> None:
    if "JPEG" in syntax:
        pytest.importorskip("pylibjpeg", reason="needs the extra: pip install 'ldctdenoise[dicom]'")
    source = shared / "data" / "awkward" / SYNTAXES / f"CTImage.dcm_{syntax}.dcm"
    series = read_ct_series(source)
    write_derived_series(
        series, series.hu, tmp_path / "out", Provenance("none", "0" * 64, DenoisingOptions(levels=1, blend=0.0), (0, 1))
    )
    assert_derived_exactly([source], tmp_path / "out")


@pytest.mark.parametrize(
    "syntax", ["JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53", "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55"]
)
def test_what_nothing_decodes_is_refused_with_the_name_of_its_coding(
    shared: Path, tmp_path: Path, zero: Denoiser, syntax: str
) -> None:
    with pytest.raises(InputError, match=r"nothing here decodes JPEG .* convert it to uncompressed DICOM"):
        denoise_file(shared / "data" / "awkward" / SYNTAXES / f"CTImage.dcm_{syntax}.dcm", tmp_path / "out", zero)


def test_the_table_in_the_documentation_names_every_series(shared: Path) -> None:
    text = (REPOSITORY / "docs" / "dicom.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))
    assert {path.name for path in (shared / "data" / "awkward").iterdir() if path.is_dir()} <= rows
