"""A folder of DICOM files becomes one volume in HU at its place in the patient, or a sentence that says why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import RLELossless, XRayRadiationDoseSRStorage

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising.one_file import denoise_file
from LDCTDenoiseLib.dicom.as_volume import read_dicom_volume
from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.volumes.images import image_of
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.dicom.dicom_files import (
    AXIAL,
    COLUMNS,
    OTHER_SERIES,
    ROWS,
    SERIES,
    STEP_MM,
    make_slice,
    save,
    save_series,
    stored_values,
)


def read_by_simpleitk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def assert_same_place(image: sitk.Image, reference: sitk.Image) -> None:
    assert image.GetSize() == reference.GetSize()
    assert image.GetSpacing() == pytest.approx(reference.GetSpacing(), rel=1e-6)
    assert image.GetOrigin() == pytest.approx(reference.GetOrigin(), abs=1e-4)
    assert image.GetDirection() == pytest.approx(reference.GetDirection(), abs=1e-5)


def read_image(folder: Path, series: str | None = None) -> sitk.Image:
    """The series as the image that a volume file would hold."""
    return image_of(read_dicom_volume(folder, series))


def refusal(folder: Path, series: str | None = None) -> str:
    """The one sentence with which the folder is refused."""
    with pytest.raises(InputError) as refused:
        read_dicom_volume(folder, series)
    sentence = str(refused.value)
    assert "\n" not in sentence
    return sentence


# Voxels


def test_slices_are_sorted_by_position_and_not_by_name(tmp_path: Path) -> None:
    for name, number in (("a", 2), ("b", 0), ("c", 3), ("d", 1)):
        save(make_slice(number), tmp_path / name)
    image = read_image(tmp_path)
    expected = np.stack([stored_values(number).astype(int) - 1024 for number in range(4)])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    assert image.GetOrigin()[2] == 0


def test_every_slice_is_rescaled_by_its_own_slope_and_intercept(tmp_path: Path) -> None:
    for number in range(3):
        save(make_slice(number, {"RescaleSlope": number + 1, "RescaleIntercept": -1000 - number}), tmp_path / str(number))
    image = read_image(tmp_path)
    expected = np.stack([stored_values(n).astype(int) * (n + 1) - 1000 - n for n in range(3)])
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
    assert image.GetPixelID() == sitk.sitkInt16


def test_a_fractional_slope_gives_float32(tmp_path: Path) -> None:
    save(make_slice(0, {"RescaleSlope": 1}), tmp_path / "0")
    save(make_slice(1, {"RescaleSlope": 0.5, "RescaleIntercept": -1000.25}), tmp_path / "1")
    image = read_image(tmp_path)
    assert image.GetPixelID() == sitk.sitkFloat32
    hu = sitk.GetArrayFromImage(image)
    np.testing.assert_array_equal(hu[0], stored_values(0) - 1024.0)
    np.testing.assert_array_equal(hu[1], stored_values(1) * 0.5 - 1000.25)


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (np.array([-32768, -1024, 0, 31743], np.int16), sitk.sitkInt32),
        (np.array([-31744, -1024, 0, 32767], np.int16), sitk.sitkInt16),
        (np.array([0, 1024, 4095, 33791], np.uint16), sitk.sitkInt16),
        (np.array([0, 1024, 4095, 65535], np.uint16), sitk.sitkInt32),
    ],
)
def test_signed_and_unsigned_values_come_out_whole_in_the_smallest_type_that_holds_them(
    tmp_path: Path, stored: np.ndarray, kind: int
) -> None:
    save(make_slice(stored=stored.reshape(2, 2)), tmp_path / "0.dcm")
    image = read_image(tmp_path)
    assert sitk.GetArrayFromImage(image).ravel().tolist() == (stored.astype(int) - 1024).tolist()
    assert image.GetPixelID() == kind


@pytest.mark.parametrize(
    ("kind", "value", "limit", "padding"),
    [
        (np.uint16, 0, None, [0]),
        (np.uint16, 63536, None, [63536]),
        (np.int16, -2000, None, [-2000]),
        (np.int16, 63536, None, [-2000]),  # written as unsigned, as GE does
        (np.uint16, 0, 7, [0, 7]),
        (np.uint16, 7, 0, [0, 7]),
        (np.int16, -2000, -1990, [-2000, -1995, -1990]),
    ],
)
def test_padding_is_found_by_its_value_or_range(
    tmp_path: Path, kind: type, value: int, limit: int | None, padding: list[int]
) -> None:
    stored = stored_values(0, kind) + 100
    stored[2, : len(padding)] = padding
    dataset = make_slice(stored=stored)
    for tag, number in (("PixelPaddingValue", value), ("PixelPaddingRangeLimit", limit)):
        if number is not None:
            dataset.add_new(tag, "SS" if number < 0 else "US", number)
    save(dataset, tmp_path / "0.dcm")
    expected = np.zeros((1, ROWS, COLUMNS), bool)
    expected[0, 2, : len(padding)] = True
    np.testing.assert_array_equal(read_dicom_volume(tmp_path).padding, expected)


def test_every_slice_has_its_own_padding(tmp_path: Path) -> None:
    for number, value in enumerate((10, None, 205)):
        dataset = make_slice(number)
        if value is not None:
            dataset.add_new("PixelPaddingValue", "US", value)
        save(dataset, tmp_path / f"{number}.dcm")
    padding = read_volume(tmp_path).padding
    assert padding is not None
    np.testing.assert_array_equal(padding[0], stored_values(0) == 10)
    assert not padding[1].any()
    np.testing.assert_array_equal(padding[2], stored_values(2) == 205)


def test_padding_lies_along_the_axis_of_the_voxels(tmp_path: Path) -> None:
    for number in range(3):
        dataset = make_slice(number, {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], "ImagePositionPatient": [0, number, 0]})
        dataset.add_new("PixelPaddingValue", "US", 110)
        save(dataset, tmp_path / f"{number}.dcm")
    volume = read_volume(tmp_path)
    assert volume.geometry.axis == 1
    assert volume.padding is not None
    assert volume.padding.any()
    np.testing.assert_array_equal(volume.padding, volume.hu == 110 - 1024)


def test_a_padding_value_beyond_the_stored_bits_says_that_they_are_used(tmp_path: Path) -> None:
    stored = stored_values(0)
    stored[0, 0] = 63536
    dataset = make_slice(stored=stored, tags={"BitsStored": 12, "HighBit": 11})
    dataset.add_new("PixelPaddingValue", "US", 63536)
    save(dataset, tmp_path / "0.dcm")
    scan = read_dicom_volume(tmp_path)
    padding = scan.padding
    np.testing.assert_array_equal(scan.hu[0], stored.astype(int) - 1024)
    assert padding is not None
    assert padding.sum() == 1


def test_a_header_without_padding_value_gives_none(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1])
    assert read_dicom_volume(tmp_path).padding is None


def test_compressed_pixels_are_read(tmp_path: Path) -> None:
    dataset = make_slice()
    dataset.compress(RLELossless)
    save(dataset, tmp_path / "0.dcm")
    image = read_image(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[0], stored_values(0).astype(int) - 1024)


# Place in the patient

OBLIQUE = [0.933013, 0.066987, -0.353553, 0.066987, 0.933013, 0.353553]


@pytest.mark.parametrize(
    "orientation",
    [
        pytest.param(AXIAL, id="head first supine"),
        pytest.param([-1, 0, 0, 0, 1, 0], id="feet first supine"),
        pytest.param([-1, 0, 0, 0, -1, 0], id="head first prone"),
        pytest.param([1, 0, 0, 0, 0, -1], id="coronal"),
        pytest.param([0, 1, 0, 0, 0, -1], id="sagittal"),
        pytest.param(OBLIQUE, id="oblique"),
    ],
)
def test_the_volume_lies_where_simpleitk_puts_it(tmp_path: Path, orientation: list[float]) -> None:
    normal = np.cross(orientation[:3], orientation[3:])
    for number in range(4):
        position = (np.array([-100.5, 20.25, -300]) + number * STEP_MM * normal).round(5).tolist()
        tags: dict[str, object] = {"ImageOrientationPatient": orientation, "ImagePositionPatient": position}
        save(make_slice(number, tags), tmp_path / f"{9 - number}.dcm")
    image = read_image(tmp_path)
    reference = read_by_simpleitk(tmp_path)
    assert_same_place(image, reference)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(reference))


def test_slices_scanned_from_head_to_feet_are_the_same_volume(tmp_path: Path) -> None:
    save_series(tmp_path / "up", [0, 1, 2])
    for number in (0, 1, 2):
        save(make_slice(number, {"InstanceNumber": 10 - number}), tmp_path / "down" / f"{10 - number}.dcm")
    up = read_image(tmp_path / "up")
    down = read_image(tmp_path / "down")
    assert_same_place(down, up)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(down), sitk.GetArrayFromImage(up))


def test_pixel_spacing_is_rows_then_columns(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1])
    assert read_volume(tmp_path).spacing == (0.7, 0.8)


@pytest.mark.parametrize(("thickness", "expected"), [(3, 3.0), (None, 1.0)])
def test_a_single_slice_is_as_thick_as_its_header_says(tmp_path: Path, thickness: object, expected: float) -> None:
    save(make_slice(4, {"SliceThickness": thickness}), tmp_path / "0.dcm")
    image = read_image(tmp_path)
    assert image.GetSize() == (COLUMNS, ROWS, 1)
    assert image.GetSpacing()[2] == expected
    assert image.GetOrigin() == (-12.5, 30.25, 4 * STEP_MM)


@pytest.mark.parametrize("thickness", [-5, -0.1])
def test_a_single_slice_of_impossible_thickness_is_refused_as_a_volume(tmp_path: Path, thickness: float) -> None:
    save(make_slice(tags={"SliceThickness": thickness}), tmp_path / "0.dcm")
    assert f"has a SliceThickness of {thickness} mm, which a volume file cannot hold" in refusal(tmp_path)
    assert len(read_ct_series(tmp_path).slices) == 1


@pytest.mark.parametrize(
    ("tag", "numbers"),
    [("InstanceNumber", [0]), ("InstanceNumber", [0, 1]), ("NumberOfSeriesRelatedInstances", [0, 1]), ("SliceThickness", [0])],
)
def test_two_values_where_one_belongs_are_refused_by_the_files_name(tmp_path: Path, tag: str, numbers: list[int]) -> None:
    save_series(tmp_path, numbers, {tag: [3, 4]})
    assert "0.dcm cannot be read (its header is damaged)" in refusal(tmp_path)


@pytest.mark.parametrize(("tag", "value"), [("RescaleSlope", "1E20"), ("RescaleSlope", "-1E300"), ("RescaleIntercept", "1e30")])
def test_a_rescale_beyond_all_hu_is_refused(tmp_path: Path, tag: str, value: str) -> None:
    save(make_slice(tags={tag: value}), tmp_path / "0.dcm")
    assert refusal(tmp_path) == "0.dcm has values of more than 32 bits in HU; its rescale is damaged."


def test_rounded_positions_are_no_gap(tmp_path: Path) -> None:
    for number, z in enumerate([0, 2.49, 5.01, 7.5]):
        save(make_slice(number, {"ImagePositionPatient": [0, 0, z]}), tmp_path / f"{number}.dcm")
    image = read_image(tmp_path)
    assert image.GetSpacing()[2] == pytest.approx(2.5)


@pytest.mark.parametrize(("step", "rounding"), [(0.6249, 0.01), (1.2345, 0.1)])
def test_positions_rounded_over_many_slices_are_no_gap(tmp_path: Path, step: float, rounding: float) -> None:
    for number in range(300):
        z = round(round((-431.7 + number * step) / rounding) * rounding, 4)
        save(make_slice(number, {"ImagePositionPatient": [0, 0, z]}), tmp_path / f"{number}.dcm")
    assert read_image(tmp_path).GetSpacing()[2] == pytest.approx(step, abs=rounding / 100)


# Slices that do not make a volume


def test_steps_whose_small_differences_add_up_are_refused_as_a_volume(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, zero: Denoiser
) -> None:
    for number in range(40):
        z = 5 * number + 0.45 * max(0, number - 20)
        save(make_slice(number, {"ImagePositionPatient": [0, 0, z]}), tmp_path / "in" / f"{number}.dcm")
    uneven = "lice 21 of series 7 lies 4.38 mm off an even grid of 5.21923 mm: the spacing is uneven"
    assert uneven in refusal(tmp_path / "in")
    denoise_file(tmp_path / "in", tmp_path / "out", zero)
    assert f"{uneven}; every slice is denoised by itself, so this one goes on." in caplog.text


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ([0, 1, 3, 4], "series 7 jump by 5 mm after slice 2 (expected 2.5 mm)"),
        ([0, 1, 3], "series 7 jump by 5 mm after slice 2 (expected 2.5 mm)"),
        ([0, 2, 3], "series 7 jump by 5 mm after slice 1 (expected 2.5 mm)"),
        ([0, 1, 2, 5, 6, 7], "series 7 jump by 7.5 mm after slice 3 (expected 2.5 mm)"),
    ],
)
def test_a_missing_slice_is_refused_and_its_place_named(tmp_path: Path, numbers: list[int], sentence: str) -> None:
    save_series(tmp_path, numbers)
    assert sentence in refusal(tmp_path)


def test_two_images_at_one_place_are_refused(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1, 2])
    save(make_slice(1, {"SOPInstanceUID": f"{SERIES}.99"}), tmp_path / "again.dcm")
    assert "Slices 2 and 3 of series 7 lie at the same place" in refusal(tmp_path)


def test_a_second_copy_of_an_image_is_left_out_with_a_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_series(tmp_path, [0, 1, 2])
    save(make_slice(1), tmp_path / "copies" / "again.dcm")
    compressed = make_slice(2)
    compressed.compress(RLELossless, generate_instance_uid=False)
    save(compressed, tmp_path / "copies" / "compressed.dcm")
    assert read_image(tmp_path).GetSize()[2] == 3
    assert "Left out: 2 second copies" in caplog.text


def test_another_image_with_the_same_uid_is_refused(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1, 2])
    save(make_slice(1, stored=stored_values(5)), tmp_path / "other.dcm")
    assert "1.dcm and other.dcm have the same SOPInstanceUID and place and different pixels" in refusal(tmp_path)


def test_two_acquisitions_in_one_series_are_refused_as_a_volume(tmp_path: Path) -> None:
    for number in range(6):
        tags: dict[str, object] = {"AcquisitionNumber": 1 + number // 3, "ImagePositionPatient": [0, 0, 2.5 * (number % 3)]}
        save(make_slice(number, tags), tmp_path / f"{number}.dcm")
    assert "Series 7 holds 2 acquisitions" in refusal(tmp_path)


@pytest.mark.parametrize(
    "tags", [{"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, {"PixelSpacing": [0.7, 0.7]}], ids=["orientation", "spacing"]
)
def test_a_slice_of_another_kind_is_left_out_with_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tags: dict[str, object]
) -> None:
    save_series(tmp_path, [0, 1])
    save(make_slice(2, tags), tmp_path / "2.dcm")
    save(make_slice(3, stored=np.zeros((ROWS, COLUMNS + 1), np.uint16)), tmp_path / "3.dcm")
    image = read_image(tmp_path)
    assert image.GetSize()[2] == 2
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[1], stored_values(1).astype(int) - 1024)
    assert "Left out: 2 slices of series 7" in caplog.text


def test_slices_of_two_kinds_without_a_usual_one_are_refused(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1])
    save_series(tmp_path, [2, 3], {"PixelSpacing": [0.7, 0.7]})
    assert "no kind is the usual one" in refusal(tmp_path)


@pytest.mark.parametrize("style", ["tilted slices at one y", "upright slices with a drifting y"])
def test_gantry_tilt_is_refused(tmp_path: Path, style: str) -> None:
    angle = np.deg2rad(18.5)
    for number in range(3):
        tags: dict[str, object] = {"ImagePositionPatient": [0, number * STEP_MM * float(np.tan(angle)), number * STEP_MM]}
        if style == "tilted slices at one y":
            orientation = [1, 0, 0, 0, round(float(np.cos(angle)), 6), round(float(np.sin(angle)), 6)]
            tags = {"ImageOrientationPatient": orientation}
        save(make_slice(number, tags), tmp_path / f"{number}.dcm")
    assert "gantry tilt" in refusal(tmp_path)


# Which files count


def test_several_series_are_all_named_when_none_is_chosen(tmp_path: Path) -> None:
    save_series(tmp_path / "one", [0, 1])
    save_series(tmp_path / "two", [0, 1, 2], {"SeriesInstanceUID": OTHER_SERIES, "SeriesDescription": "thin"})
    sentence = refusal(tmp_path)
    assert f"{SERIES} (phantom, 2 slices)" in sentence
    assert f"{OTHER_SERIES} (thin, 3 slices)" in sentence
    assert "2 CT series; choose one: " in sentence


def test_the_series_asked_for_is_read(tmp_path: Path) -> None:
    save_series(tmp_path / "one", [0, 1])
    save_series(tmp_path / "two", [0, 1, 2], {"SeriesInstanceUID": OTHER_SERIES})
    assert read_image(tmp_path, SERIES).GetSize()[2] == 2
    assert read_image(tmp_path, OTHER_SERIES).GetSize()[2] == 3


def test_an_unknown_series_is_refused_with_those_there_are(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1])
    sentence = refusal(tmp_path, "1.2.3")
    assert "1.2.3" in sentence
    assert SERIES in sentence


def test_a_localizer_is_left_out(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1])
    save(make_slice(9, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}), tmp_path / "scout.dcm")
    assert read_image(tmp_path).GetSize()[2] == 2


def test_files_that_are_no_ct_image_are_passed_over(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1])
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "README").write_text("not DICOM")
    (tmp_path / ".hidden").touch()
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(0).bytes(2000))
    save(make_slice(5, {"Modality": "MR", "SeriesInstanceUID": OTHER_SERIES}), tmp_path / "mr.dcm")
    report = make_slice(6, {"PixelData": None, "Rows": None, "SOPClassUID": XRayRadiationDoseSRStorage})
    save(report, tmp_path / "report.dcm")
    assert read_image(tmp_path).GetSize()[2] == 2


def test_subfolders_are_searched(tmp_path: Path) -> None:
    save(make_slice(0), tmp_path / "study" / "a" / "0.dcm")
    save(make_slice(1), tmp_path / "study" / "b" / "1.dcm")
    assert read_image(tmp_path).GetSize()[2] == 2


def test_a_folder_without_ct_is_refused(tmp_path: Path) -> None:
    assert "holds no CT slice" in refusal(tmp_path)
    save(make_slice(0, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}), tmp_path / "scout.dcm")
    assert "holds no CT slice" in refusal(tmp_path)


def test_multi_frame_that_is_not_enhanced_ct_is_refused(tmp_path: Path) -> None:
    save(make_slice(0, {"NumberOfFrames": 2, "PixelData": bytes(2 * ROWS * COLUMNS * 2)}), tmp_path / "0.dcm")
    assert "multi-frame but not enhanced CT" in refusal(tmp_path)


@pytest.mark.parametrize("value", [None, "", [1, 2, 3, 4]])
@pytest.mark.parametrize(
    "tag", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"]
)
def test_a_slice_without_its_place_or_its_rescale_is_refused_by_name(tmp_path: Path, tag: str, value: object) -> None:
    save_series(tmp_path, [0, 1])
    save(make_slice(2, {tag: value}), tmp_path / "third.dcm")
    assert f"third.dcm lacks {tag}" in refusal(tmp_path)


def test_a_slice_whose_place_is_no_number_is_refused_by_name(tmp_path: Path) -> None:
    file = save(make_slice(), tmp_path / "0.dcm")
    file.write_bytes(file.read_bytes().replace(b"-12.5\\", b"-1x.5\\"))
    assert "0.dcm cannot be read" in refusal(tmp_path)


def test_a_file_cut_off_in_its_pixels_is_refused_by_name(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1, 2])
    file = tmp_path / "2.dcm"
    file.write_bytes(file.read_bytes()[:-20])
    assert "2.dcm cannot be read" in refusal(tmp_path)


def test_a_slice_without_pixels_is_refused_by_name(tmp_path: Path) -> None:
    save_series(tmp_path, [0, 1])
    save(make_slice(2, {"PixelData": None}), tmp_path / "2.dcm")
    assert "2.dcm cannot be read" in refusal(tmp_path)


def test_colour_screenshots_are_passed_over(tmp_path: Path) -> None:
    colour: dict[str, object] = {
        "SeriesInstanceUID": OTHER_SERIES,
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "PixelData": bytes(3 * 2 * ROWS * COLUMNS),
    }
    save_series(tmp_path / "screenshots", [0, 1], colour)
    assert "holds no CT slice" in refusal(tmp_path)
    save_series(tmp_path / "slices", [0, 1])
    assert read_image(tmp_path).GetSize() == (COLUMNS, ROWS, 2)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_a_file_cut_off_anywhere_is_refused_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    file = save(make_slice(), folder / "0.dcm")
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    refusal(folder)
    shutil.rmtree(folder)


# Real series


def test_a_real_series_is_read_as_simpleitk_reads_it(shared: Path) -> None:
    folder = shared / "data" / "dicom" / "Lung-PET-CT-Dx_A0002_Siemens_B40f"
    image = read_image(folder)
    reference = read_by_simpleitk(folder)
    assert_same_place(image, reference)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(reference))


TRANSFER_SYNTAXES = {  # greatest difference from the uncompressed slice in HU; None: cannot be decoded
    "BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2": 0,
    "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99": 0,
    "RLELosslessTransferSyntax_1.2.840.10008.1.2.5": 0,
    "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57": 0,
    "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70": 0,
    "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80": 0,
    "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90": 0,
    "JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81": 2,
    "JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91": 10,
    "JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50": 80,  # 8 bits with a slope of 32
    "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51": 50,
    "JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53": None,
    "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55": None,
}


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_one_slice_in_every_transfer_syntax_has_the_same_hu(shared: Path, tmp_path: Path, syntax: str) -> None:
    pytest.importorskip("pylibjpeg", reason="needs the extra: pip install 'ldctdenoise[dicom]'")
    source = shared / "data" / "awkward" / "transfer_syntaxes_CTImage_cornerstone"
    for name, folder in ((syntax, "one"), ("LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1", "plain")):
        (tmp_path / folder).mkdir()
        shutil.copy(source / f"CTImage.dcm_{name}.dcm", tmp_path / folder / "slice.dcm")
    limit = TRANSFER_SYNTAXES[syntax]
    if limit is None:
        assert "slice.dcm cannot be read" in refusal(tmp_path / "one")
        return
    one, plain = (sitk.GetArrayFromImage(read_image(tmp_path / folder)) for folder in ("one", "plain"))
    inside = plain > -1500  # lossy pixels beside the padding ring
    assert np.abs(one.astype(float) - plain)[inside].max() <= limit
