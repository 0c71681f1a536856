"""Headers that end ITK's process, or keep it busy for ever: refused in a sentence before ITK sees them."""

from __future__ import annotations

import os
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.commands.denoise_many import DenoiseMany
from Testing.volumes.test_hostile_files import SIZE, VOXELS, metaimage, nifti, nrrd, write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process's memory this way")


def assert_refused(denoise_many: DenoiseMany, source: Path, sentence: str) -> None:
    before = sorted(path.name for path in source.parent.iterdir())
    answer = denoise_many("denoise", source, source.parent / "out.nrrd", "--model", "none", "--quiet")
    assert answer.code == 1, answer
    assert sentence in answer.err.splitlines()[-1], answer.err
    assert answer.err.startswith("ldctdenoise: "), answer.err
    assert sorted(path.name for path in source.parent.iterdir()) == before


NRRD_LISTS = {
    "spacings": "1 ",
    "thicknesses": "1 ",
    "axis mins": "1 ",
    "axis maxs": "1 ",
    "labels": '"a" ',
    "units": '"mm" ',
    "kinds": "domain ",
    "centers": "cell ",
    "space directions": "(1,0,0) ",
    "space: left-posterior-superior\nspace units": '"mm" ',
    "space dimension: 3\nmeasurement frame": "(1,0,0) ",
}


@pytest.mark.parametrize("count", [4, 17, 600])
@pytest.mark.parametrize("name", NRRD_LISTS)
def test_an_nrrd_lists_no_more_than_it_has_axes(denoise_many: DenoiseMany, tmp_path: Path, name: str, count: int) -> None:
    content = nrrd(SIZE, "raw", VOXELS.tobytes(), f"{name}: {NRRD_LISTS[name] * count}")
    assert_refused(denoise_many, write(tmp_path / "in.nrrd", content), "in.nrrd cannot be read")


NRRD_LINES = {
    "an origin of 600 numbers": f"space dimension: 3\nspace origin: ({','.join('1' * 600)})",
    "an unknown field of 1,000 letters": f"{'x' * 1000}: 1",
    "an unknown field": "answer: 42",
    "a space of 5,000 letters": f"space: {'x' * 5000}",
    "a number of 5,000 digits": f"old min: {'1' * 5000}",
    "a label of 5,000 letters": f'labels: "{"x" * 5000}" "" ""',
    "an endless line": f"content: {'x' * 100_000}",
    "a line that is none": "nothing",
    "a second size": "sizes: 2 2 2",
    "text between labels": 'labels: "a" x "b" "c"',
}


@pytest.mark.parametrize("line", NRRD_LINES.values(), ids=NRRD_LINES)
def test_an_nrrd_header_that_cannot_be_right_is_refused(denoise_many: DenoiseMany, tmp_path: Path, line: str) -> None:
    content = nrrd(SIZE, "raw", VOXELS.tobytes(), line)
    assert_refused(denoise_many, write(tmp_path / "in.nrrd", content), "in.nrrd cannot be read (its header is damaged")


NRRD_DISGUISES = {
    "600 spacings that end as a key does": f"spacings: {'1 ' * 600}:=",
    "600 directions by their other name": f"space: left-posterior-superior\nspacedirections: {'(1,0,0) ' * 600}:=",
    "a number of 60,000 digits": f"old min: {'9' * 60_000}:=",
    "600 spacings behind a key": f"a:=b\rspacings: {'1 ' * 600}",
    "600 spacings behind a comment": f"# a\rspacings: {'1 ' * 600}",
    "600 spacings behind a million letters": "data file: voxels\n" + f"# {'x' * 60_000}\n" * 18 + f"spacings: {'1 ' * 600}",
}


@pytest.mark.parametrize("line", NRRD_DISGUISES.values(), ids=NRRD_DISGUISES)
def test_an_nrrd_field_passes_for_nothing_else(denoise_many: DenoiseMany, tmp_path: Path, line: str) -> None:
    write(tmp_path / "voxels", VOXELS.tobytes())
    content = nrrd(SIZE, "raw", VOXELS.tobytes(), line)
    assert_refused(denoise_many, write(tmp_path / "in.nrrd", content), "in.nrrd cannot be read (its header is damaged")


def test_a_key_of_an_nrrd_may_hold_what_fields_hold(tmp_path: Path) -> None:
    content = nrrd(SIZE, "raw", VOXELS.tobytes(), "spacings:=1 2 3 4: 5", "a:b:=c: d", "type:=")
    np.testing.assert_array_equal(read_volume(write(tmp_path / "in.nrrd", content)).hu, VOXELS)


@pytest.mark.parametrize("axes", ["-1", "0", "17", "1000", "9" * 5000, "three", "\u0663"])
def test_the_number_of_axes_is_bounded(denoise_many: DenoiseMany, tmp_path: Path, axes: str) -> None:
    plain = nrrd(SIZE, "raw", VOXELS.tobytes()).replace(b"dimension: 3", f"dimension: {axes}".encode())
    assert_refused(denoise_many, write(tmp_path / "in.nrrd", plain), "axes")
    plain = metaimage(SIZE, VOXELS.tobytes(), packed=False).replace(b"NDims = 3", f"NDims = {axes}".encode())
    assert_refused(denoise_many, write(tmp_path / "in.mha", plain), "axes")


METAIMAGE_LINES = {
    "600 spacings": f"ElementSpacing = {'1 ' * 600}",
    "four offsets": "Offset = 1 2 3 4",
    "no offset": "Offset = ",
    "a matrix of 100,000": f"TransformMatrix = {'1 ' * 100_000}",
    "a number of 5,000 digits": f"ElementSpacing = 1 1 {'1' * 5000}",
    "a name of 300 letters": f"Name = {'x' * 300}",
    "a field's name of 300 letters": f"{'x' * 300} = 1",
}


@pytest.mark.parametrize("line", METAIMAGE_LINES.values(), ids=METAIMAGE_LINES)
def test_a_metaimage_header_that_cannot_be_right_is_refused(denoise_many: DenoiseMany, tmp_path: Path, line: str) -> None:
    content = metaimage(SIZE, VOXELS.tobytes(), packed=False)
    content = content.replace(b"BinaryData", line.encode() + b"\nBinaryData")
    assert_refused(denoise_many, write(tmp_path / "in.mha", content), "in.mha cannot be read (its header is damaged")


NIFTI_FIELDS = {
    "-1 axes": (40, struct.pack("<h", -1)),
    "0 axes": (40, struct.pack("<h", 0)),
    "1,000 axes": (40, struct.pack("<h", 1000)),
    "a size of -16": (42, struct.pack("<h", -16)),
    "a size of 0": (42, struct.pack("<h", 0)),
    "an unknown type": (70, struct.pack("<h", 77)),
    "bits of another type": (72, struct.pack("<h", 64)),
    "no first voxel": (108, struct.pack("<f", float("nan"))),
    "the first voxel at 10^30": (108, struct.pack("<f", 1e30)),
    "an extension without end": (348, b"\1\0\0\0" + struct.pack("<2i", 2**31 - 1, 4)),
    "an extension of -16 bytes": (348, b"\1\0\0\0" + struct.pack("<2i", -16, 4)),
}


@pytest.mark.parametrize(("place", "value"), NIFTI_FIELDS.values(), ids=NIFTI_FIELDS)
def test_a_nifti_header_that_cannot_be_right_is_refused(
    denoise_many: DenoiseMany, tmp_path: Path, place: int, value: bytes
) -> None:
    content = bytearray(nifti((16, 16, 4), tmp_path))
    if place == 348:
        content[108:112] = struct.pack("<f", 368)
        content[352:352] = bytes(16)
    content[place : place + len(value)] = value
    assert_refused(denoise_many, write(tmp_path / "in.nii", bytes(content)), "in.nii cannot be read (its header is damaged")


def test_an_extension_of_a_nifti_is_passed_over(tmp_path: Path) -> None:
    content = bytearray(nifti((16, 16, 4), tmp_path))
    content[108:112] = struct.pack("<f", 368)
    content[348:352] = b"\1\0\0\0" + struct.pack("<2i", 16, 6) + b"a note.\0"
    np.testing.assert_array_equal(read_volume(write(tmp_path / "in.nii", bytes(content))).hu, VOXELS)


@pytest.mark.parametrize("content", [bytes(400), b"\0" * 344 + b"ni1\0" + bytes(60), b"short"])
def test_another_format_named_nifti_is_refused(denoise_many: DenoiseMany, tmp_path: Path, content: bytes) -> None:
    assert_refused(denoise_many, write(tmp_path / "in.nii", content), "of another format")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii", ".nii.gz"])
def test_a_name_that_is_not_utf8_is_refused(denoise_many: DenoiseMany, tmp_path: Path, suffix: str) -> None:
    plain = tmp_path / f"in{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(plain))
    name = Path(os.fsdecode(b"caf\xe9")).with_suffix(suffix)
    try:
        plain.rename(tmp_path / name)
    except (OSError, UnicodeError):
        pytest.skip("names of this file system are UTF-8")
    answer = denoise_many("denoise", tmp_path / name, tmp_path / "out.nrrd", "--model", "none")
    assert answer.code == 1, answer
    assert "has a name that is not UTF-8, which ITK cannot open; rename it" in answer.err
    answer = denoise_many("denoise", tmp_path / name, tmp_path / Path(os.fsdecode(b"t\xfcr.nrrd")), "--model", "none")
    assert answer.code == 1, answer
    assert "choose another name" in answer.err


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_text_that_is_not_utf8_harms_nothing(tmp_path: Path, suffix: str) -> None:
    if suffix == ".nrrd":
        content = nrrd(SIZE, "raw", VOXELS.tobytes(), "content: caf?", "Key:=caf?")
    else:
        content = metaimage(SIZE, VOXELS.tobytes(), packed=False).replace(b"BinaryData", b"Comment = caf?\nBinaryData")
    np.testing.assert_array_equal(read_volume(write(tmp_path / f"in{suffix}", content.replace(b"caf?", b"caf\xe9"))).hu, VOXELS)


def test_everything_that_these_formats_may_say_is_read(tmp_path: Path) -> None:
    fields = [
        "# a comment",
        "content: a scan",
        "space: left-posterior-superior",
        "space directions: (0.8, 0, 0) (0,0.8,0) (0,0,2.5)",
        "space origin: (-1.5,2,3e1)",
        "kinds: domain domain domain",
        "centers: cell cell cell",
        'labels: "x \\" y" "" "z"',
        'space units: "mm" "mm" "mm"',
        "measurement frame: (1,0,0) (0,1,0) (0,0,1)",
        "Modality:=CT: soft",
    ]
    scan = read_volume(write(tmp_path / "in.nrrd", nrrd(SIZE, "raw", VOXELS.tobytes(), *fields).replace(b"\n", b"\r\n", 18)))
    np.testing.assert_array_equal(scan.hu, VOXELS)
    np.testing.assert_allclose(scan.spacing, (0.8, 0.8))
    lines = "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\nElementSpacing = 0.8 0.8 2.5\nAnatomicalOrientation = RAI\n"
    content = metaimage(SIZE, VOXELS.tobytes(), packed=False).replace(b"BinaryData", lines.encode() + b"BinaryData")
    scan = read_volume(write(tmp_path / "in.mha", content))
    np.testing.assert_array_equal(scan.hu, VOXELS)
    assert scan.geometry.origin == (1, 2, 3)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("letter", [" ", "a", '"', "(", "\t", "\\", ":", "\n"])
def test_a_header_of_a_million_letters_takes_no_time(tmp_path: Path, suffix: str, letter: str) -> None:
    many = letter.encode() * 2**20
    for before in (b"labels: ", b"space directions: ", b"", b"ElementDataFile = a", b"Name = a"):
        start = b"NRRD0004\ndimension: 3\n" if suffix == ".nrrd" else b"NDims = 3\n"
        path = write(tmp_path / f"in{suffix}", start + before + many + b"x\nElementDataFile = LOCAL\n")
        begin = time.perf_counter()
        with pytest.raises(InputError):
            read_volume(path)
        assert time.perf_counter() - begin < 5
