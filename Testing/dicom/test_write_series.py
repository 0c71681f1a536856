"""A derived series: every HU where it was, a new identity, and a header that says what was done and nothing untrue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from LDCTDenoiseLib import Denoiser, __version__
from LDCTDenoiseLib.denoising.one_file import DenoisedFile, FileOptions, denoise_file
from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.dicom.write_series import Compression, DicomOutput
from LDCTDenoiseLib.errors import Code, InputError, OutputError
from Testing.dicom.dicom_files import COLUMNS, ROWS, SERIES, STEP_MM, make_enhanced, make_slice, save, save_series, stored_values

PLAIN = FileOptions()


@pytest.fixture(scope="module")
def denoiser(tiny_model: Path) -> Denoiser:
    return Denoiser(tiny_model, device="cpu", levels=1)


def written(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def hu_of(dataset: Dataset) -> np.ndarray:
    """By pydicom alone, float64."""
    return apply_rescale(dataset.pixel_array, dataset)


def derive(source: Path | Dataset, tmp_path: Path, denoiser: Denoiser, options: FileOptions = PLAIN) -> list[Dataset]:
    """The derived series of a folder, or of one slice."""
    if isinstance(source, Dataset):
        source = save(source, tmp_path / "in" / "0.dcm").parent
    denoise_file(source, tmp_path / "out", denoiser, options)
    return written(tmp_path / "out")


# Voxels

SLOPES = ["1", "0.5", "2", "3", "2.5", "2.0002442", "32.1216", "0.33333333333333", "1.00000000000001", "-1", "-2"]


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("intercept", ["-1024", "-1000.25"])
@pytest.mark.parametrize("slope", SLOPES)
def test_without_strength_every_hu_is_exactly_what_it_was(
    tmp_path: Path, zero: Denoiser, slope: str, intercept: str, kind: type
) -> None:
    stored = stored_values(1, kind)
    stored[3, :4] = [0, 1, 1999, 2000] if kind is np.uint16 else [-2000, -1, 0, 1500]
    source = make_slice(stored=stored, tags={"RescaleSlope": slope, "RescaleIntercept": intercept})
    (result,) = derive(source, tmp_path, zero, FileOptions(force=True))
    np.testing.assert_array_equal(hu_of(result), hu_of(source))
    assert abs(float(result.RescaleSlope)) <= 1 or result.RescaleSlope == source.RescaleSlope
    assert result.RescaleIntercept == source.RescaleIntercept


@pytest.mark.parametrize(
    ("slope", "written_slope", "factor"),
    [("1", 1, 1), ("0.5", 0.5, 1), ("2", 1, 2), ("2.5", 0.625, 4), ("2.0002442", 0.50006105, 4), ("32.1216", 0.5019, 64)],
)
def test_a_rescale_in_steps_of_more_than_1_hu_is_made_finer(
    tmp_path: Path, zero: Denoiser, slope: str, written_slope: float, factor: int
) -> None:
    source = make_slice(tags={"RescaleSlope": slope})
    (result,) = derive(source, tmp_path, zero, FileOptions(force=True))
    assert float(result.RescaleSlope) == written_slope
    np.testing.assert_array_equal(result.pixel_array, stored_values(0).astype(int) * factor)


def test_a_rescale_that_cannot_be_made_finer_within_the_bits_is_kept(tmp_path: Path, zero: Denoiser) -> None:
    stored = stored_values(0)
    stored[0, 0] = 65535
    source = make_slice(stored=stored, tags={"RescaleSlope": 2})
    (result,) = derive(source, tmp_path, zero, FileOptions(force=True))
    assert result.RescaleSlope == 2
    np.testing.assert_array_equal(result.pixel_array, stored)


def test_every_slice_keeps_its_own_rescale(tmp_path: Path, zero: Denoiser) -> None:
    sources = [make_slice(n, {"RescaleSlope": 1 + n, "RescaleIntercept": -1024 - n}) for n in range(3)]
    for number, source in enumerate(sources):
        save(source, tmp_path / "in" / f"{number}.dcm")
    for source, result in zip(sources, derive(tmp_path / "in", tmp_path, zero), strict=True):
        np.testing.assert_array_equal(hu_of(result), hu_of(source))
        assert (result.RescaleSlope, result.RescaleIntercept) == (1, source.RescaleIntercept)


@pytest.mark.parametrize("slope", ["1", "2", "0.5"])
def test_denoised_hu_are_rounded_and_not_cut(tmp_path: Path, denoiser: Denoiser, slope: str) -> None:
    save_series(tmp_path / "in", [0, 1, 2], {"RescaleSlope": slope})
    results = derive(tmp_path / "in", tmp_path, denoiser)
    series = read_ct_series(tmp_path / "in")
    expected = denoiser(series.hu, padding_value=series.padding)
    step = min(float(slope), 1.0)
    for result, hu, before in zip(results, expected, series.hu, strict=True):
        difference = hu_of(result) - hu
        inside = hu >= -1024  # the lowest that the unsigned source can store
        assert np.abs(difference[inside]).max() <= step / 2
        assert np.abs(hu - before).max() > 1
        np.testing.assert_array_equal(hu_of(result)[~inside], -1024)


@pytest.mark.parametrize(("bits", "kept"), [(12, 12), (16, 16)])
def test_stored_bits_are_kept_and_values_beyond_them_saturate(tmp_path: Path, denoiser: Denoiser, bits: int, kept: int) -> None:
    stored = np.full((ROWS, COLUMNS), 4095, np.uint16)
    stored[:, :4] = 0
    source = make_slice(stored=stored, tags={"BitsStored": bits, "HighBit": bits - 1})
    (result,) = derive(source, tmp_path, denoiser)
    assert (result.BitsAllocated, result.BitsStored, result.HighBit) == (16, kept, kept - 1)
    assert result.pixel_array.max() < 2**kept


def test_slices_outside_the_range_are_copies_and_say_so(tmp_path: Path, denoiser: Denoiser) -> None:
    save_series(tmp_path / "in", [0, 1, 2])
    results = derive(tmp_path / "in", tmp_path, denoiser, FileOptions(slices=(1, 2)))
    changed = [bool((result.pixel_array != stored_values(n)).any()) for n, result in enumerate(results)]
    assert changed == [False, True, False]
    assert [result.DerivationDescription.startswith("Denoised") for result in results] == changed
    assert results[0].DerivationDescription.startswith("Copied without a change")


# Padding


@pytest.mark.parametrize("slope", ["1", "2", "2.5"])
@pytest.mark.parametrize(
    ("kind", "value", "limit", "padding"),
    [
        (np.int16, -2000, None, [-2000]),
        (np.int16, 63536, None, [-2000]),
        (np.uint16, 0, None, [0]),
        (np.uint16, 3, 9, [3, 6, 9]),
        (np.int16, -2000, -1990, [-2000, -1995, -1990]),
    ],
)
def test_padding_is_kept_exactly(
    tmp_path: Path, denoiser: Denoiser, kind: type, value: int, limit: int | None, padding: list[int], slope: str
) -> None:
    stored = stored_values(0, kind) + 900
    stored[2, : len(padding)] = padding
    source = make_slice(stored=stored, tags={"RescaleSlope": slope})
    for tag, number in (("PixelPaddingValue", value), ("PixelPaddingRangeLimit", limit)):
        if number is not None:
            source.add_new(tag, "SS" if number < 0 else "US", number)
    (result,) = derive(source, tmp_path, denoiser, FileOptions(force=True))
    np.testing.assert_array_equal(hu_of(result)[2, : len(padding)], hu_of(source)[2, : len(padding)])
    assert (hu_of(result) != hu_of(source)).any()
    low, high = sorted(padding)[0], sorted(padding)[-1]
    expected = sorted({float(slope) * number for number in (low, high)})
    told = [result.PixelPaddingValue] + ([result.PixelPaddingRangeLimit] if limit is not None else [])
    signed = [number - 65536 if kind is np.int16 and number > 32767 else number for number in told]
    assert sorted({number * float(result.RescaleSlope) for number in signed}) == pytest.approx(expected)


# Identity


def test_a_derived_series_has_its_own_uids_in_the_same_study_and_frame_of_reference(tmp_path: Path, zero: Denoiser) -> None:
    save_series(tmp_path / "in", [0, 1, 2])
    sources, results = written(tmp_path / "in"), derive(tmp_path / "in", tmp_path, zero)
    uids = {result.SOPInstanceUID for result in results}
    assert len(uids) == 3
    assert len({result.SeriesInstanceUID for result in results}) == 1
    old = {source.SOPInstanceUID for source in sources} | {SERIES}
    assert not old & (uids | {results[0].SeriesInstanceUID})
    for source, result in zip(sources, results, strict=True):
        assert result.SOPInstanceUID.is_valid
        assert result.SOPInstanceUID == result.file_meta.MediaStorageSOPInstanceUID
        assert result.SOPClassUID == result.file_meta.MediaStorageSOPClassUID == CTImageStorage
        for tag in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "ImagePositionPatient", "PixelSpacing"):
            assert result[tag] == source[tag]


def test_the_same_run_gives_the_same_uids_and_another_result_others(tmp_path: Path, zero: Denoiser, denoiser: Denoiser) -> None:
    save_series(tmp_path / "in", [0, 1])

    def uids(name: str, one: Denoiser, options: FileOptions = PLAIN) -> set[str]:
        denoise_file(tmp_path / "in", tmp_path / name, one, options)
        return {uid for result in written(tmp_path / name) for uid in (result.SOPInstanceUID, result.SeriesInstanceUID)}

    first = uids("first", zero)
    assert uids("again", zero) == first
    assert not uids("denoised", denoiser) & first
    assert not uids("offset", zero, FileOptions(dicom=DicomOutput(series_number_offset=7))) & first


def test_it_names_its_source_the_model_and_the_strength(tmp_path: Path, tiny_model: Path) -> None:
    save_series(tmp_path / "in", [0, 1], {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]})
    denoiser = Denoiser(tiny_model, device="cpu", levels=1, blend=0.7)
    result = derive(tmp_path / "in", tmp_path, denoiser)[1]
    assert list(result.ImageType) == ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 SPI"]
    (image,) = result.SourceImageSequence
    assert (image.ReferencedSOPInstanceUID, image.ReferencedSOPClassUID) == (f"{SERIES}.2", CTImageStorage)
    assert image.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    (series,) = result.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == SERIES
    assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == f"{SERIES}.2"
    (equipment,) = result.ContributingEquipmentSequence
    assert (equipment.Manufacturer, equipment.SoftwareVersions) == ("LDCTDenoise", __version__)
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    for text in (result.DerivationDescription, equipment.ContributionDescription):
        for part in (__version__, "tiny", denoiser.info.model_hash, "blend 0.7", "1 level", "research"):
            assert part in text
    assert result.DerivationCodeSequence[0].CodeValue == "113087"
    assert result.ImageComments == "For research, not for diagnosis."
    assert result.SeriesDescription == "phantom LDCTDenoise"
    assert result.SeriesNumber == 1007
    assert result.ContentDate == result.InstanceCreationDate
    assert result.ContentTime


@pytest.mark.parametrize(
    ("source", "offset", "derived"),
    [(2**31 - 500, 1000, 1000), (-(2**31) + 500, -1000, -1000), (99999999999, 1000, 1000), (-3, 1000, 997)],
)
def test_the_series_number_stays_in_its_range(tmp_path: Path, zero: Denoiser, source: int, offset: int, derived: int) -> None:
    save_series(tmp_path / "in", [0, 1], {"SeriesNumber": str(source)})
    denoise_file(tmp_path / "in", tmp_path / "out", zero, FileOptions(dicom=DicomOutput(series_number_offset=offset)))
    assert {int(pydicom.dcmread(path).SeriesNumber) for path in (tmp_path / "out").iterdir()} == {derived}


def test_a_region_that_was_left_as_it_is_is_said(tmp_path: Path, tiny_model: Path, denoiser: Denoiser) -> None:
    save_series(tmp_path / "in", [0, 1])
    for name in ("body", "all"):
        (tmp_path / name).mkdir()
    body = Denoiser(tiny_model, device="cpu", levels=1, region="body")
    assert "blend 1, region body." in derive(tmp_path / "in", tmp_path / "body", body)[0].DerivationDescription
    assert "region" not in derive(tmp_path / "in", tmp_path / "all", denoiser)[0].DerivationDescription


def test_what_the_source_says_of_itself_is_kept_beside_what_was_done(tmp_path: Path, zero: Denoiser) -> None:
    other_series, equipment = Dataset(), Dataset()
    other_series.SeriesInstanceUID = "1.2.3"
    equipment.Manufacturer = "Elsewhere"
    source = make_slice(
        tags={
            "DerivationDescription": "reconstructed",
            "ImageComments": "note",
            "ContributingEquipmentSequence": [equipment],
            "ReferencedSeriesSequence": [other_series],
            "TimezoneOffsetFromUTC": "-0500",
        }
    )
    (result,) = derive(source, tmp_path, zero)
    assert result.DerivationDescription.startswith("reconstructed")
    assert result.ImageComments.startswith("note")
    assert [item.Manufacturer for item in result.ContributingEquipmentSequence] == ["Elsewhere", "LDCTDenoise"]
    assert result.ContributingEquipmentSequence[1].ContributionDateTime.endswith("-0500")
    assert [item.SeriesInstanceUID for item in result.ReferencedSeriesSequence] == ["1.2.3", SERIES]


def test_an_image_type_of_one_value_is_one(tmp_path: Path, zero: Denoiser) -> None:
    (result,) = derive(make_slice(tags={"ImageType": "ORIGINAL"}), tmp_path, zero)
    assert list(result.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]


def test_a_description_with_a_backslash_keeps_it(tmp_path: Path, zero: Denoiser) -> None:
    (result,) = derive(make_slice(tags={"SeriesDescription": "head\\neck"}), tmp_path, zero)
    assert "\\".join(result.SeriesDescription) == "head\\neck LDCTDenoise"


def test_a_long_description_keeps_its_length(tmp_path: Path, zero: Denoiser) -> None:
    (result,) = derive(make_slice(tags={"SeriesDescription": "x" * 64}), tmp_path, zero)
    assert len(result.SeriesDescription) == 64
    assert result.SeriesDescription.endswith("x LDCTDenoise")


KEPT = {
    "WindowCenter": [40, -600],
    "WindowWidth": [400, 1500],
    "ConvolutionKernel": "B40f",
    "KVP": 120,
    "XRayTubeCurrent": 184,
    "CTDIvol": 8.5,
    "GantryDetectorTilt": -18.5,
    "PatientPosition": "HFS",
    "InstanceNumber": 17,
    "AcquisitionNumber": 2,
    "AcquisitionDate": "20200101",
    "SliceLocation": -3.5,
    "LossyImageCompression": "01",
    "LossyImageCompressionRatio": 7.2,
    "LossyImageCompressionMethod": "ISO_10918_1",
    "BurnedInAnnotation": "NO",
    "StudyDate": "20200101",
    "PatientID": "4711",
}


def test_window_kernel_exposure_geometry_and_the_rest_are_kept(tmp_path: Path, zero: Denoiser) -> None:
    (result,) = derive(make_slice(tags=dict(KEPT)), tmp_path, zero)
    for tag, value in KEPT.items():
        assert result[tag].value == value, tag


def test_what_is_true_of_the_source_only_is_dropped(tmp_path: Path, zero: Denoiser) -> None:
    source = make_slice(tags={"InstanceCreatorUID": "1.2.3", "PixelDataProviderURL": "http://x"})
    source.add_new("SmallestImagePixelValue", "US", 0)
    source.add_new("LargestImagePixelValue", "US", 147)
    icon = Dataset()
    icon.Rows = icon.Columns = 1
    source.IconImageSequence = [icon]
    (result,) = derive(source, tmp_path, zero)
    for tag in ("InstanceCreatorUID", "PixelDataProviderURL", "SmallestImagePixelValue", "LargestImagePixelValue"):
        assert tag not in result
    assert "IconImageSequence" not in result


@pytest.mark.parametrize(("syntax", "lossy"), [(JPEGLSNearLossless, "01"), (JPEGLSLossless, None)])
def test_pixels_that_were_lossy_are_called_so_even_where_the_source_forgot(
    tmp_path: Path, zero: Denoiser, syntax: str, lossy: str | None
) -> None:
    pytest.importorskip("jpeg_ls", reason="needs the extra: pip install 'ldctdenoise[dicom]'")
    source = make_slice(stored=np.arange(40 * 40, dtype=np.uint16).reshape(40, 40))
    source.compress(syntax, jls_error=0 if lossy is None else 2, generate_instance_uid=False)
    if "LossyImageCompression" in source:
        del source.LossyImageCompression
    (result,) = derive(source, tmp_path, zero)
    assert result.get("LossyImageCompression") == lossy


@pytest.mark.parametrize("keep", [False, True])
def test_private_and_unknown_tags_are_dropped_unless_asked_for(tmp_path: Path, zero: Denoiser, keep: bool) -> None:
    source = make_slice()
    block = source.private_block(0x0029, "VENDOR", create=True)
    block.add_new(0x10, "LO", "secret")
    item = Dataset()
    item.CodeValue = "1"
    item.private_block(0x0029, "VENDOR", create=True).add_new(0x10, "LO", "nested secret")
    source.ProcedureCodeSequence = [item]
    source.add_new((0x0018, 0x7FF0), "LO", "of a later standard")
    (result,) = derive(source, tmp_path, zero, FileOptions(dicom=DicomOutput(keep_private=keep)))
    content = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    for text in (b"secret", b"nested secret", b"of a later standard"):
        assert (text in content) is keep
    assert result.ProcedureCodeSequence[0].CodeValue == "1"


def test_overlays_with_data_of_their_own_are_kept_and_those_in_pixel_bits_dropped(tmp_path: Path, zero: Denoiser) -> None:
    source = make_slice(tags={"BitsStored": 12, "HighBit": 11})
    for group, position in ((0x6000, 0), (0x6002, 12)):
        source.add_new((group, 0x0010), "US", ROWS)
        source.add_new((group, 0x0011), "US", COLUMNS)
        source.add_new((group, 0x0102), "US", position)
    source.add_new((0x6000, 0x3000), "OW", b"\x01\x00\x00\x00\x00\x00")
    (result,) = derive(source, tmp_path, zero)
    assert result[0x6000, 0x3000].value == b"\x01\x00\x00\x00\x00\x00"
    assert (0x6002, 0x0010) not in result


# Encodings


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless], ids=lambda s: s.name
)
def test_any_encoding_becomes_explicit_little_endian_with_the_same_values(tmp_path: Path, zero: Denoiser, syntax: str) -> None:
    source = make_slice()
    lut = Dataset()
    lut.add_new("LUTDescriptor", "US", [2, 0, 16])
    lut.add_new("LUTData", "OW", b"\x01\x02\x03\x04")
    source.VOILUTSequence = [lut]
    source.add_new("PixelPaddingValue", "US", 3)
    reference = hu_of(source)
    if syntax == RLELossless:
        source.compress(RLELossless)
    if syntax == ExplicitVRBigEndian:
        source.PixelData = stored_values(0).astype(">u2").tobytes()
        lut.LUTData = b"\x02\x01\x04\x03"
    source.file_meta.TransferSyntaxUID = syntax
    source.set_original_encoding(syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian)
    (tmp_path / "in").mkdir()
    pydicom.dcmwrite(tmp_path / "in" / "0.dcm", source, enforce_file_format=True)
    (result,) = derive(tmp_path / "in", tmp_path, zero)
    assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    np.testing.assert_array_equal(hu_of(result), reference)
    assert result.VOILUTSequence[0].LUTData == b"\x01\x02\x03\x04"
    assert result.PixelPaddingValue == 3


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("compression", list(Compression))
def test_compressed_output_has_the_same_values(tmp_path: Path, zero: Denoiser, compression: Compression, kind: type) -> None:
    if compression in (Compression.JPEG_LS, Compression.JPEG_2000):
        pytest.importorskip("jpeg_ls" if compression is Compression.JPEG_LS else "openjpeg", reason="needs ldctdenoise[dicom]")
    stored = np.random.default_rng(0).integers(0, 2000, (32, 32)).astype(kind)
    if kind is np.int16:
        stored -= 1000
    (result,) = derive(
        make_slice(stored=stored), tmp_path, zero, FileOptions(force=True, dicom=DicomOutput(compression=compression))
    )
    assert result.file_meta.TransferSyntaxUID == compression.transfer_syntax
    np.testing.assert_array_equal(result.pixel_array, stored)
    assert result.get("LossyImageCompression") in (None, "00")


def test_a_slice_that_an_encoder_refuses_is_refused_in_a_sentence(tmp_path: Path, zero: Denoiser) -> None:
    pytest.importorskip("openjpeg", reason="needs the extra: pip install 'ldctdenoise[dicom]'")
    with pytest.raises(OutputError, match="cannot be compressed as jpeg2000; choose another compression"):  # 8 x 6 pixels
        derive(make_slice(), tmp_path, zero, FileOptions(dicom=DicomOutput(compression=Compression.JPEG_2000)))
    assert not (tmp_path / "out").exists()


# Geometry


def test_every_slice_of_a_tilted_stack_keeps_its_own_place(tmp_path: Path, zero: Denoiser) -> None:
    orientation = [1, 0, 0, 0, 0.948324, -0.317305]
    for number in range(3):
        save(make_slice(number, {"ImageOrientationPatient": orientation}), tmp_path / "in" / f"{number}.dcm")
    for number, result in enumerate(derive(tmp_path / "in", tmp_path, zero)):
        assert list(result.ImagePositionPatient) == [-12.5, 30.25, number * STEP_MM]
        assert list(result.ImageOrientationPatient) == orientation
        np.testing.assert_array_equal(result.pixel_array, stored_values(number))


def test_a_gap_is_a_warning_that_names_it(tmp_path: Path, zero: Denoiser, caplog: pytest.LogCaptureFixture) -> None:
    save_series(tmp_path / "in", [0, 1, 3])
    results = derive(tmp_path / "in", tmp_path, zero)
    assert [float(result.ImagePositionPatient[2]) for result in results] == [0, 2.5, 7.5]
    assert "jump by 5 mm after slice 2 (expected 2.5 mm)" in caplog.text


@pytest.mark.parametrize("tag", ["AcquisitionNumber", "TemporalPositionIdentifier", "ConvolutionKernel"])
def test_two_acquisitions_in_one_series_become_two_series(tmp_path: Path, zero: Denoiser, tag: str) -> None:
    for number in range(6):
        place: dict[str, object] = {"ImagePositionPatient": [0, 0, 2.5 * (number % 3)], tag: str(1 + number // 3)}
        save(make_slice(number, place), tmp_path / "in" / f"{number}.dcm")
    results = derive(tmp_path / "in", tmp_path, zero)
    of_series: dict[str, list[Dataset]] = {}
    for result in results:
        of_series.setdefault(result.SeriesInstanceUID, []).append(result)
    assert [len(series) for series in of_series.values()] == [3, 3]
    assert [series[0].SeriesNumber for series in of_series.values()] == [1007, 1008]
    for series in of_series.values():
        assert len({str(result[tag].value) for result in series}) == 1
        for result in series:
            number = int(result.SourceImageSequence[0].ReferencedSOPInstanceUID.split(".")[-1]) - 1
            np.testing.assert_array_equal(result.pixel_array, stored_values(number))


# Enhanced multi-frame


def test_every_frame_of_enhanced_ct_becomes_a_ct_image(tmp_path: Path, zero: Denoiser) -> None:
    source = make_enhanced([2, 0, 1])
    results = derive(source, tmp_path, zero)
    for number, result in enumerate(results):
        frame = [2, 0, 1].index(number)
        assert result.SOPClassUID == CTImageStorage
        np.testing.assert_array_equal(hu_of(result), stored_values(number) - 1024.0)
        assert list(result.ImagePositionPatient) == [-12.5, 30.25, number * STEP_MM]
        assert list(result.PixelSpacing) == [0.7, 0.8]
        assert list(result.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
        assert (result.ConvolutionKernel, result.KVP, result.CTDIvol) == ("B40f", 120, 8.5)
        assert (result.XRayTubeCurrent, result.ExposureTime) == (200 + number, 500)
        assert (result.WindowCenter, result.InstanceNumber) == (40, frame + 1)
        (image,) = result.SourceImageSequence
        assert image.ReferencedSOPClassUID == source.SOPClassUID
        assert (image.ReferencedSOPInstanceUID, image.ReferencedFrameNumber) == (source.SOPInstanceUID, frame + 1)
        for tag in ("NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "StackID"):
            assert tag not in result
    assert len({result.SOPInstanceUID for result in results}) == 3


# Input that is no CT in HU


@pytest.mark.parametrize(
    ("tags", "sentence"), [({"Modality": "MR"}, "contains no CT series"), ({"RescaleType": "US"}, "RescaleType US and not HU")]
)
def test_what_is_no_ct_in_hu_needs_force(tmp_path: Path, zero: Denoiser, tags: dict[str, object], sentence: str) -> None:
    source = save(make_slice(tags=tags), tmp_path / "in" / "0.dcm").parent
    with pytest.raises(InputError, match=sentence) as refused:
        denoise_file(source, tmp_path / "out", zero)
    assert refused.value.code is Code.NOT_CT
    assert not (tmp_path / "out").exists()
    (result,) = derive(source, tmp_path, zero, FileOptions(force=True))
    np.testing.assert_array_equal(result.pixel_array, stored_values(0))


def test_another_modality_without_rescale_is_taken_as_it_is_with_force(tmp_path: Path, zero: Denoiser) -> None:
    source = make_slice(tags={"Modality": "MR", "RescaleSlope": None, "RescaleIntercept": None})
    (result,) = derive(source, tmp_path, zero, FileOptions(force=True))
    np.testing.assert_array_equal(result.pixel_array, stored_values(0))


@pytest.mark.parametrize("tag", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_slices_without_the_uids_of_dicom_are_refused(tmp_path: Path, zero: Denoiser, tag: str) -> None:
    save_series(tmp_path / "in", [0, 1])
    for path in (tmp_path / "in").iterdir():
        content = pydicom.dcmread(path)
        delattr(content, tag)
        content.save_as(path)
    with pytest.raises(InputError, match=f"0.dcm lacks {tag}"):
        denoise_file(tmp_path / "in", tmp_path / "out", zero)


def test_what_was_done_names_the_new_series(tmp_path: Path, zero: Denoiser) -> None:
    save_series(tmp_path / "in", [0, 1])
    done = denoise_file(tmp_path / "in", tmp_path / "out", zero)
    assert isinstance(done, DenoisedFile)
    assert done.made.slices == (0, 2)
    assert done.series == (written(tmp_path / "out")[0].SeriesInstanceUID,)
