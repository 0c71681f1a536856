"""Volume files: what is read is written back as it was, at its place; what cannot be used is refused in a sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from LDCTDenoiseLib.ct.orientation import axial_axis
from LDCTDenoiseLib.errors import InputError, OutputError
from LDCTDenoiseLib.volumes.images import image_of, scan_of
from LDCTDenoiseLib.volumes.volume_file import (
    WRITABLE_SUFFIXES,
    check_volume_output,
    read_volume,
    volume_size,
    volume_suffix,
    write_volume,
)

AXIAL = (1, 0, 0, 0, 1, 0, 0, 0, 1)
# Columns are the directions of the index axes x, y, z; patient axes are left, posterior, superior.
CORONAL = (1, 0, 0, 0, 0, 1, 0, -1, 0)
SAGITTAL = (0, 0, 1, 1, 0, 0, 0, -1, 0)


def matrix(image: sitk.Image) -> np.ndarray:
    return np.array(image.GetDirection()).reshape(3, 3)


def make_image(
    shape: tuple[int, ...] = (3, 4, 5),
    kind: type = np.int16,
    spacing: tuple[float, ...] = (0.5, 0.75, 2.5),
    origin: tuple[float, ...] = (-120.5, 33.25, -400.125),
    direction: tuple[float, ...] = AXIAL,
) -> sitk.Image:
    voxels = (np.arange(np.prod(shape)) * 7 % 120).reshape(shape).astype(kind)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    return image


def save(image: sitk.Image, path: Path, *, compress: bool = True) -> Path:
    sitk.WriteImage(image, str(path), useCompression=compress)
    return path


def assert_same_geometry(image: sitk.Image, reference: sitk.Image, tolerance: float = 1e-9) -> None:
    assert image.GetSize() == reference.GetSize()
    assert image.GetPixelID() == reference.GetPixelID()
    assert image.GetSpacing() == pytest.approx(reference.GetSpacing(), rel=tolerance)
    assert image.GetOrigin() == pytest.approx(reference.GetOrigin(), rel=tolerance, abs=tolerance)
    assert image.GetDirection() == pytest.approx(reference.GetDirection(), abs=tolerance)


def refusal(path: Path) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(InputError) as refused:
        read_volume(path)
    sentence = str(refused.value)
    assert path.name in sentence
    assert "\n" not in sentence
    assert "0x" not in sentence  # addresses of ITK's objects
    return sentence


# What is read is written


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_a_round_trip_keeps_voxels_type_and_place(tmp_path: Path, suffix: str, kind: type) -> None:
    source = save(make_image(kind=kind), tmp_path / f"in{suffix}")
    target = tmp_path / f"out{suffix}"
    write_volume(read_volume(source), target)
    before, after = sitk.ReadImage(str(source)), sitk.ReadImage(str(target))
    assert_same_geometry(after, before)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(after), sitk.GetArrayFromImage(before))


@pytest.mark.parametrize(
    ("kind", "written"), [(">i2", np.int16), (">f4", np.float32), (np.float16, np.float32), (np.longdouble, np.float32)]
)
def test_voxels_that_simpleitk_does_not_take_are_converted(tmp_path: Path, kind: str | type, written: type) -> None:
    scan = scan_of(make_image())
    given = scan.hu.astype(kind)
    write_volume(scan.with_hu(given), tmp_path / "out.nrrd")
    again = read_volume(tmp_path / "out.nrrd").hu
    np.testing.assert_array_equal(again, given)
    assert again.dtype == written


@pytest.mark.parametrize("kind", [bool, np.complex64])
def test_voxels_that_are_no_hu_are_refused_in_a_sentence(tmp_path: Path, kind: type) -> None:
    scan = scan_of(make_image())
    with pytest.raises(InputError, match=r"^The voxels are of type \w+; integers or floating-point numbers in HU are needed\.$"):
        write_volume(scan.with_hu(scan.hu.astype(kind)), tmp_path / "out.nrrd")


@st.composite
def rotations(draw: st.DrawFn) -> tuple[float, ...]:
    """Direction matrices: any rotation, with or without a mirrored axis."""
    quaternion = np.array([draw(st.floats(-1, 1)) for _ in range(4)])
    length = np.linalg.norm(quaternion)
    w, x, y, z = quaternion / length if length > 0.1 else (1.0, 0.0, 0.0, 0.0)
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    mirror = draw(st.sampled_from([1, -1]))
    return tuple((matrix * [1, 1, mirror]).ravel().tolist())


@settings(max_examples=40, deadline=None)
@given(
    suffix=st.sampled_from(WRITABLE_SUFFIXES),
    spacing=st.tuples(*[st.floats(0.1, 10)] * 3),
    origin=st.tuples(*[st.floats(-1000, 1000)] * 3),
    direction=rotations(),
)
def test_any_oblique_geometry_survives_in_every_format(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    spacing: tuple[float, ...],
    origin: tuple[float, ...],
    direction: tuple[float, ...],
) -> None:
    image = make_image((2, 3, 2), spacing=spacing, origin=origin, direction=direction)
    axis = axial_axis(matrix(image))
    voxels = sitk.GetArrayFromImage(image)
    target = tmp_path_factory.getbasetemp() / f"oblique{suffix}"
    scan = scan_of(image).along(None)
    np.testing.assert_array_equal(scan.hu, np.moveaxis(voxels, axis, 0))
    write_volume(scan, target)
    written = sitk.ReadImage(str(target))
    # NIfTI holds its geometry in float32.
    assert_same_geometry(written, image, tolerance=1e-3 if ".nii" in suffix else 1e-9)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), voxels)


@pytest.mark.parametrize("direction", [AXIAL, CORONAL, SAGITTAL])
@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_changed_voxels_land_where_they_belong(tmp_path: Path, suffix: str, direction: tuple[float, ...]) -> None:
    source = save(make_image(direction=direction), tmp_path / f"in{suffix}")
    volume = read_volume(source)
    changed = volume.hu.copy()
    changed[1] += 1000
    write_volume(volume.with_hu(changed), tmp_path / f"out{suffix}")
    again = read_volume(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(again.hu, changed)
    difference = sitk.GetArrayFromImage(image_of(again)) - sitk.GetArrayFromImage(image_of(volume))
    assert set(np.nonzero(difference)[volume.geometry.axis]) == {1}


def test_a_format_can_be_changed_on_the_way(tmp_path: Path) -> None:
    image = make_image(direction=CORONAL)
    write_volume(read_volume(save(image, tmp_path / "in.nrrd")), tmp_path / "out.nii.gz")
    assert_same_geometry(sitk.ReadImage(str(tmp_path / "out.nii.gz")), image, tolerance=1e-6)


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_headers_with_their_voxels_in_a_second_file_are_read(tmp_path: Path, suffix: str) -> None:
    image = make_image()
    volume = read_volume(save(image, tmp_path / f"in{suffix}"))
    np.testing.assert_array_equal(volume.hu, sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("name", ["IN.NRRD", "in.v2.NII.GZ", "with space.nii"])
def test_a_suffix_is_known_in_any_case(tmp_path: Path, name: str) -> None:
    plain = save(make_image(), tmp_path / f"plain{volume_suffix(name)}")
    (tmp_path / name).write_bytes(plain.read_bytes())
    assert read_volume(tmp_path / name).hu.shape == (3, 4, 5)
    write_volume(read_volume(plain), tmp_path / f"out {name}")
    assert read_volume(tmp_path / f"out {name}").hu.shape == (3, 4, 5)


# Which axis runs through the slices


@pytest.mark.parametrize(("direction", "axis"), [(AXIAL, 0), (CORONAL, 1), (SAGITTAL, 1)])
def test_the_axial_axis_is_found_from_the_direction_matrix(tmp_path: Path, direction: tuple[float, ...], axis: int) -> None:
    image = make_image(direction=direction)
    volume = read_volume(save(image, tmp_path / "in.nrrd"))
    assert volume.geometry.axis == axis
    np.testing.assert_array_equal(volume.hu, np.moveaxis(sitk.GetArrayFromImage(image), axis, 0))


def test_an_array_whose_columns_run_from_head_to_feet_has_axis_two() -> None:
    assert axial_axis(matrix(make_image(direction=(0, 1, 0, 0, 0, 1, 1, 0, 0)))) == 2


@given(direction=rotations())
def test_slices_follow_the_index_axis_nearest_to_the_patients_length(direction: tuple[float, ...]) -> None:
    image = make_image((3, 3, 3), spacing=(1, 1, 1), direction=direction)
    origin = np.array(image.TransformIndexToPhysicalPoint((0, 0, 0)))
    steps = {}
    for index_axis in range(3):
        index = [0, 0, 0]
        index[index_axis] = 1
        steps[2 - index_axis] = abs((np.array(image.TransformIndexToPhysicalPoint(index)) - origin)[2])
    assert steps[axial_axis(matrix(image))] == pytest.approx(max(steps.values()))


@pytest.mark.parametrize("axis", ["0", "1", "2"])
def test_an_axis_that_is_given_wins(tmp_path: Path, axis: str) -> None:
    image = make_image()
    source = save(image, tmp_path / "in.nrrd")
    volume = read_volume(source, axis=axis)
    np.testing.assert_array_equal(volume.hu, np.moveaxis(sitk.GetArrayFromImage(image), int(axis), 0))
    write_volume(volume, tmp_path / "out.nrrd")
    written = sitk.ReadImage(str(tmp_path / "out.nrrd"))
    assert_same_geometry(written, image)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(image))


def test_an_unknown_axis_is_refused(tmp_path: Path) -> None:
    source = save(make_image(), tmp_path / "in.nrrd")
    with pytest.raises(InputError, match="'3' is not an axis"):
        read_volume(source, axis="3")


@pytest.mark.parametrize(("axis", "spacing"), [("0", (0.75, 0.5)), ("1", (2.5, 0.5)), ("2", (2.5, 0.75))])
def test_spacing_is_that_of_rows_and_columns(tmp_path: Path, axis: str, spacing: tuple[float, float]) -> None:
    source = save(make_image(spacing=(0.5, 0.75, 2.5)), tmp_path / "in.nrrd")
    assert read_volume(source, axis=axis).spacing == spacing


@given(axes=st.lists(st.sampled_from([None, 0, 1, 2]), max_size=4), direction=rotations())
def test_every_voxel_keeps_its_place_whatever_axis_the_slices_follow(
    axes: list[int | None], direction: tuple[float, ...]
) -> None:
    image = make_image((2, 3, 4), spacing=(0.5, 0.75, 2.5), direction=direction)
    scan = scan_of(image)
    for axis in axes:
        scan = scan.along(axis)
    values, geometry = sitk.GetArrayFromImage(image), scan.geometry
    for index in np.ndindex(scan.hu.shape):
        first, *others = index
        others.insert(geometry.axis, first)  # the file's array has the slices along this axis
        assert values[tuple(others)] == scan.hu[index]
        place = image.TransformIndexToPhysicalPoint(others[::-1])
        assert geometry.place_of(index) == pytest.approx(place, abs=1e-6)
        assert geometry.index_of(place) == index
    assert_same_geometry(image_of(scan), image)


# More or fewer than three axes


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize("axis", ["auto", "2"])
def test_a_single_image_is_one_slice_and_comes_back_as_an_image(tmp_path: Path, suffix: str, axis: str) -> None:
    image = make_image((4, 5), spacing=(0.5, 0.75), origin=(3, 4), direction=(1, 0, 0, 1))
    volume = read_volume(save(image, tmp_path / f"in{suffix}"), axis=axis)
    assert volume.hu.shape == (1, 4, 5)
    assert volume.spacing == (0.75, 0.5)
    write_volume(volume, tmp_path / f"out{suffix}")
    written = sitk.ReadImage(str(tmp_path / f"out{suffix}"))
    assert_same_geometry(written, image, tolerance=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_a_volume_with_several_frames_is_refused(tmp_path: Path, suffix: str) -> None:
    image = sitk.JoinSeries([make_image(), make_image()])
    sentence = refusal(save(image, tmp_path / f"in{suffix}"))
    assert "has 4 axes (5, 4, 3, 2)" in sentence


@pytest.mark.parametrize("direction", [AXIAL, SAGITTAL])
@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_a_volume_with_a_single_frame_is_a_volume(tmp_path: Path, suffix: str, direction: tuple[float, ...]) -> None:
    image = make_image(direction=direction)
    volume = read_volume(save(sitk.JoinSeries([image]), tmp_path / f"in{suffix}"))
    assert_same_geometry(image_of(volume), image, tolerance=1e-6)
    write_volume(volume, tmp_path / f"out{suffix}")
    assert volume_size(tmp_path / f"in{suffix}") == volume_size(tmp_path / f"out{suffix}") == image.GetSize()
    written = sitk.ReadImage(str(tmp_path / f"out{suffix}"))
    assert_same_geometry(written, image, tolerance=1e-6)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize("parts", [2, 3])
def test_colour_and_vector_images_are_refused(tmp_path: Path, suffix: str, parts: int) -> None:
    colour = sitk.Compose([make_image(kind=np.uint8)] * parts)
    assert f"has {parts} values per voxel" in refusal(save(colour, tmp_path / f"in{suffix}"))


# Files that cannot be read


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "in.nrrd")


@pytest.mark.parametrize("name", ["in.txt", "in.dcm", "nrrd", "in.nrrd.zip"])
def test_a_file_of_another_kind_is_refused_with_the_kinds_that_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text")
    assert ".nrrd, .nhdr, .nii.gz, .nii, .mha, .mhd" in refusal(tmp_path / name)


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"NR", b"text, not a volume\n" * 100])
def test_a_file_that_is_no_volume_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"in{suffix}"
    path.write_bytes(content)
    assert "cannot be read" in refusal(path)


def test_a_file_named_as_another_format_is_refused(tmp_path: Path) -> None:
    save(make_image(), tmp_path / "in.nii")
    (tmp_path / "in.nrrd").write_bytes((tmp_path / "in.nii").read_bytes())
    assert "of another format" in refusal(tmp_path / "in.nrrd")


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, suffix: str, compress: bool, share: float) -> None:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (3, 16, 16)).astype(np.int16)
    path = save(sitk.GetImageFromArray(voxels), tmp_path / f"in{suffix}", compress=compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "No such file" not in refusal(path)  # ITK's guess


def test_a_compressed_file_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = save(make_image(), tmp_path / "in.nii.gz")
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # in the checksum: the voxels may be anything
    path.write_bytes(content)
    assert "damaged" in refusal(path)


def test_whole_nifti_files_of_other_making_are_read(tmp_path: Path) -> None:
    image = make_image()
    plain = save(image, tmp_path / "plain.nii").read_bytes()
    variants = {
        "uncompressed.nii.gz": plain,
        "in two members.nii.gz": gzip.compress(plain[:400]) + gzip.compress(plain[400:]),
        "with bytes behind.nii": plain + b"more",
    }
    for name, content in variants.items():
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_volume(tmp_path / name).hu, sitk.GetArrayFromImage(image))


EMPTY = {
    "empty.nrrd": "NRRD0004\ntype: int16\ndimension: 3\nsizes: 16 16 0\nencoding: raw\nendian: little\n\n",
    "empty.mha": "ObjectType = Image\nNDims = 3\nDimSize = 16 16 0\nElementType = MET_SHORT\nElementDataFile = LOCAL\n",
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_volume_without_voxels_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(EMPTY[name])
    sentence = refusal(tmp_path / name)
    assert "is empty" in sentence or "size is zero" in sentence


def test_a_series_cannot_be_chosen_in_a_file(tmp_path: Path) -> None:
    source = save(make_image(), tmp_path / "in.nrrd")
    with pytest.raises(InputError, match=r"in\.nrrd is a volume file"):
        read_volume(source, series="1.2.3")


# Outputs


@pytest.mark.parametrize("name", ["out.nhdr", "out.mhd", "out.dcm", "out", "out.nrrd.txt"])
def test_an_output_that_is_no_one_file_volume_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.nrrd, \.nii\.gz, \.nii, \.mha"):
        check_volume_output(tmp_path / name, overwrite=True)


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "out.nrrd").mkdir()
    with pytest.raises(OutputError, match="must be a volume file"):
        check_volume_output(tmp_path / "out.nrrd", overwrite=True)


def test_an_output_that_exists_needs_overwrite(tmp_path: Path) -> None:
    target = save(make_image(), tmp_path / "out.nrrd")
    with pytest.raises(OutputError, match=r"exists\."):
        check_volume_output(target, overwrite=False)
    assert check_volume_output(target, overwrite=True) == target


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_sheared_volume_keeps_its_geometry_or_is_refused(tmp_path: Path, suffix: str, axis: int) -> None:
    image = make_image((8, 4, 5), direction=(1, 0, 0, 0, 1, 0.28, 0, 0, 0.96))
    target = tmp_path / f"out{suffix}"
    if ".nii" in suffix:
        with pytest.raises(OutputError, match=rf"sheared .*, which a NIfTI file such as {target.name} cannot hold; write \.nrrd"):
            write_volume(scan_of(image).along(axis), target)
        assert not list(tmp_path.iterdir())
    else:
        write_volume(scan_of(image).along(axis), target)
        assert_same_geometry(sitk.ReadImage(str(target)), image)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_rounded_directions_are_no_shear(tmp_path: Path, suffix: str) -> None:
    image = make_image(direction=(1, 0, 0, 0, 0.966, -0.259, 0, 0.259, 0.966))
    write_volume(scan_of(image), tmp_path / f"out{suffix}")
    assert_same_geometry(sitk.ReadImage(str(tmp_path / f"out{suffix}")), image, tolerance=1e-3)


def test_writing_leaves_nothing_but_the_output(tmp_path: Path) -> None:
    volume = read_volume(save(make_image(), tmp_path / "in.nrrd"))
    write_volume(volume, tmp_path / "out.nii.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.nrrd", "out.nii.gz"]


def test_writing_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    image = make_image()
    with pytest.raises(OutputError, match="cannot be written"):
        write_volume(scan_of(image), tmp_path / "missing" / "out.nrrd")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("out.unknown", "must be a volume file"), ("out.mhd", "must be a volume file"), ("folder.nrrd", "cannot be written")],
)
def test_a_failed_write_leaves_nothing_and_says_so(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "folder.nrrd").mkdir()
    image = make_image()
    with pytest.raises(OutputError, match=f"{name} {sentence}"):
        write_volume(scan_of(image), tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.nrrd"]


def test_a_failed_write_keeps_the_old_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make_image()
    target = save(image, tmp_path / "out.nrrd")
    before = target.read_bytes()

    def full_disk(image: sitk.Image, name: str, **options: object) -> None:
        Path(name).write_bytes(b"half a vol")
        raise RuntimeError("ITK ERROR: NrrdImageIO(0x5581): No space left on device")

    monkeypatch.setattr(sitk, "WriteImage", full_disk)
    with pytest.raises(OutputError, match=r"^out.nrrd cannot be written \(No space left on device\)"):
        write_volume(scan_of(image), target)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.nrrd"]
