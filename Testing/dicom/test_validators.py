"""Other programs' judgement of a derived series: dciodvfy (dicom3tools), dcm2niix and SimpleITK."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising.one_file import FileOptions, denoise_file
from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.dicom.write_series import Compression, DicomOutput, write_derived_series
from LDCTDenoiseLib.models.options import DenoisingOptions
from LDCTDenoiseLib.models.provenance import Provenance
from Testing.dicom.dicom_files import SERIES, STEP_MM, make_enhanced, make_slice, save

COMPLETE: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientID": "1",
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "",
    "PatientSex": "O",
    "StudyDate": "20200101",
    "StudyTime": "120000",
    "StudyID": "1",
    "AccessionNumber": "",
    "ReferringPhysicianName": "",
    "Manufacturer": "Scanner",
    "BodyPartExamined": "CHEST",
    "PatientPosition": "HFS",
    "PositionReferenceIndicator": "",
    "ContentDate": "20200101",
    "ContentTime": "120000",
    "AcquisitionNumber": 1,
    "KVP": 120,
    "RescaleType": "HU",
}
"""What a valid CT image has beside what the helper gives."""

ONE_SLICE = FileOptions(slices=(0, 1))
"""The others are copied, which is faster and written the same way."""


@pytest.fixture(scope="module")
def denoiser(tiny_model: Path) -> Denoiser:
    return Denoiser(tiny_model, device="cpu", levels=1)


def findings(path: Path) -> set[str]:
    """What dciodvfy says of a file, errors and warnings."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False, errors="replace").stderr
    lines = set(told.splitlines())
    assert lines & {"CTImage", "EnhancedCTImage"}, told  # it understood what it read
    return lines


def errors(lines: set[str]) -> set[str]:
    return {line for line in lines if line.startswith("Error")}


def save_complete(folder: Path, tags: dict[str, object] | None = None, step: tuple[float, ...] = (0, 0, STEP_MM)) -> Path:
    for number in range(3):
        stored = np.random.default_rng(number).integers(0, 2000, (40, 36)).astype(np.uint16)
        place = {
            "InstanceNumber": number + 1,
            "ImagePositionPatient": (np.array([-12.5, 30.25, 0]) + number * np.array(step)).tolist(),
        }
        save(make_slice(number, {**COMPLETE, **place, **(tags or {})}, stored), folder / f"{number}.dcm")
    return folder


OUTPUTS: dict[str, tuple[dict[str, object], DicomOutput]] = {
    "plain": ({}, DicomOutput()),
    "slope 2": ({"RescaleSlope": 2}, DicomOutput()),
    "slope 2.5": ({"RescaleSlope": 2.5}, DicomOutput()),
    "12 bits": ({"BitsStored": 12, "HighBit": 11}, DicomOutput()),
    "8-bit window text": ({"WindowCenter": [40, -600], "WindowWidth": [400, 1500]}, DicomOutput()),
    "rle": ({}, DicomOutput(compression=Compression.RLE)),
    "jpeg-ls": ({}, DicomOutput(compression=Compression.JPEG_LS)),
    "jpeg2000": ({}, DicomOutput(compression=Compression.JPEG_2000)),
    "derived already": ({"ImageType": ["DERIVED", "PRIMARY", "AXIAL"], "DerivationDescription": "averaged"}, DicomOutput()),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_dciodvfy_finds_no_error(tmp_path: Path, denoiser: Denoiser, name: str) -> None:
    tags, output = OUTPUTS[name]
    module = {Compression.JPEG_LS: "jpeg_ls", Compression.JPEG_2000: "openjpeg"}.get(output.compression)
    if module:
        pytest.importorskip(module, reason="needs the extra: pip install 'ldctdenoise[dicom]'")
    source = save_complete(tmp_path / "in", tags)
    assert not errors(findings(source / "0.dcm"))
    denoise_file(source, tmp_path / "out", denoiser, FileOptions(force=True, dicom=output))
    for path in (tmp_path / "out").iterdir():
        assert not errors(findings(path))


def test_dciodvfy_finds_no_error_in_frames_of_enhanced_ct(tmp_path: Path, denoiser: Denoiser) -> None:
    dataset = make_enhanced([0, 1])
    for tag, value in COMPLETE.items():
        if tag not in ("KVP", "RescaleType", "AcquisitionNumber"):
            setattr(dataset, tag, value)
    save(dataset, tmp_path / "in" / "0.dcm")
    denoise_file(tmp_path / "in", tmp_path / "out", denoiser)
    for path in (tmp_path / "out").iterdir():
        assert not errors(findings(path))


REAL = [
    "awkward/Philips_phantom_gantry_tilt_-18.5/I210.dcm",
    "awkward/dicom2nifti_gantrytilting_001/IM-0001-0001.dcm",
    "awkward/dicom2nifti_sliceincrement_001/IM-0001-0007-0001.dcm",
    "awkward/missing_slices_CRLM-CT-1006/1-22.dcm",
    "awkward/truncated_last_file_LIDC-0001_padding-2000/1-082.dcm",
    "awkward/pydicom_misc/CT_small.dcm",
    "awkward/enhanced_multiframe_CT/eCT_Supplemental.dcm",
    "awkward/transfer_syntaxes_CTImage_cornerstone/CTImage.dcm_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2.dcm",
    "awkward/transfer_syntaxes_CTImage_cornerstone/CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm",
]


@pytest.mark.parametrize("name", REAL)
def test_dciodvfy_finds_nothing_new_in_real_images(shared: Path, tmp_path: Path, name: str) -> None:
    if "JPEG" in name:
        pytest.importorskip("pylibjpeg", reason="needs the extra: pip install 'ldctdenoise[dicom]'")
    source = shared / "data" / name
    series = read_ct_series(source, force=True)
    write_derived_series(
        series, series.hu, tmp_path / "out", Provenance("none", "0" * 64, DenoisingOptions(levels=1, blend=0.0), (0, 1))
    )
    before = errors(findings(source))
    for path in (tmp_path / "out").iterdir():
        assert errors(findings(path)) <= before


def converted(folder: Path, target: Path) -> dict[str, sitk.Image]:
    """What dcm2niix makes of a folder, by file name."""
    if shutil.which("dcm2niix") is None:
        pytest.skip("dcm2niix is not installed (Debian package dcm2niix)")
    target.mkdir()
    subprocess.run(
        ["dcm2niix", "-b", "n", "-z", "n", "-f", "volume", "-o", str(target), str(folder)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return {path.name: sitk.ReadImage(str(path)) for path in sorted(target.glob("*.nii"))}


def by_simpleitk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def assert_same_image(image: sitk.Image, reference: sitk.Image) -> None:
    for geometry in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(image, geometry)() == getattr(reference, geometry)(), geometry
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(reference))


VOLUMES: dict[str, tuple[dict[str, object], tuple[float, ...]]] = {
    "axial": ({}, (0, 0, 2.5)),
    "coronal": ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, (0, 2.5, 0)),
    "oblique": ({"ImageOrientationPatient": [0.8, 0.6, 0, -0.36, 0.48, 0.8]}, (1.2, -1.6, 1.5)),
    "tilted": ({"ImageOrientationPatient": [1, 0, 0, 0, 0.948324, -0.317305]}, (0, 0, 2.5)),
    "slope 2": ({"RescaleSlope": 2}, (0, 0, 2.5)),
    "non-square pixels": ({"PixelSpacing": [0.5, 0.9]}, (0, 0, 2.5)),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_dcm2niix_and_simpleitk_see_the_same_volume(tmp_path: Path, zero: Denoiser, name: str) -> None:
    source = save_complete(tmp_path / "in", *VOLUMES[name])
    denoise_file(source, tmp_path / "out", zero, FileOptions(force=True))
    assert_same_image(by_simpleitk(tmp_path / "out"), by_simpleitk(source))
    before, after = converted(source, tmp_path / "before"), converted(tmp_path / "out", tmp_path / "after")
    assert list(after) == list(before)
    assert before
    for file, image in before.items():
        assert_same_image(after[file], image)


def test_dcm2niix_sees_the_same_real_series(shared: Path, tmp_path: Path, zero: Denoiser) -> None:
    (tmp_path / "in").mkdir()
    for path in sorted((shared / "data" / "dicom" / "Lung-PET-CT-Dx_A0002_Siemens_B40f").iterdir())[:3]:
        shutil.copy(path, tmp_path / "in")
    denoise_file(tmp_path / "in", tmp_path / "out", zero, ONE_SLICE)
    assert_same_image(by_simpleitk(tmp_path / "out"), by_simpleitk(tmp_path / "in"))
    before, after = converted(tmp_path / "in", tmp_path / "before"), converted(tmp_path / "out", tmp_path / "after")
    assert list(after) == list(before)
    for file, image in before.items():
        assert_same_image(after[file], image)


def test_the_sources_names_are_no_part_of_ours(tmp_path: Path, zero: Denoiser) -> None:
    """A viewer that groups by series must show two."""
    source = save_complete(tmp_path / "in")
    denoise_file(source, tmp_path / "out", zero)
    for path in (tmp_path / "out").iterdir():
        shutil.copy(path, source / f"derived {path.name}")
    uids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(source))
    assert len(uids) == 2
    assert SERIES in uids
