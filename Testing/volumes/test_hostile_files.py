"""Volume files from strangers: refused in a sentence, before memory is taken or another file is opened."""

from __future__ import annotations

import gzip
import os
import struct
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.system import memory
from LDCTDenoiseLib.volumes import volume_file
from LDCTDenoiseLib.volumes.volume_file import read_volume

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (4, 16, 16)).astype("<i2")
SIZE = "16 16 4"
HUGE = "60000 60000 60000"


def nrrd(sizes: str, encoding: str, data: bytes, *fields: str) -> bytes:
    lines = ["NRRD0004", "type: short", "dimension: 3", f"sizes: {sizes}", f"encoding: {encoding}", "endian: little", *fields]
    return ("\n".join(lines) + "\n\n").encode() + data


def metaimage(sizes: str, data: bytes, *, packed: bool, file: str = "LOCAL") -> bytes:
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", f"CompressedData = {packed}"]
    if packed:
        lines += [f"CompressedDataSize = {len(data)}"]
    lines += [f"DimSize = {sizes}", "ElementType = MET_SHORT", f"ElementDataFile = {file}"]
    return ("\n".join(lines) + "\n").encode() + data


def nifti(size: tuple[int, int, int], tmp_path: Path) -> bytes:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(tmp_path / "plain.nii"))
    content = bytearray((tmp_path / "plain.nii").read_bytes())
    content[42:48] = np.array(size, "<i2").tobytes()
    return bytes(content)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        read_volume(path)
    assert path.name in str(refused.value)
    return str(refused.value)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_header_that_claims_60000_cubed_is_refused(tmp_path: Path) -> None:
    few = VOXELS.tobytes()
    files = {
        "raw.nrrd": nrrd(HUGE, "raw", few),
        "gzip.nrrd": nrrd(HUGE, "gzip", gzip.compress(few)),
        "raw.mha": metaimage(HUGE, few, packed=False),
        "packed.mha": metaimage(HUGE, zlib.compress(few), packed=True),
        "raw.nii": nifti((30000, 30000, 30000), tmp_path),
        "packed.nii.gz": gzip.compress(nifti((30000, 30000, 30000), tmp_path)),
    }
    for name, content in files.items():
        assert "more than any CT has" in refusal(write(tmp_path / name, content))


def test_a_header_that_claims_more_than_the_file_can_hold_is_refused(tmp_path: Path) -> None:
    few = gzip.compress(VOXELS.tobytes())
    assert "more than its" in refusal(write(tmp_path / "in.nrrd", nrrd("512 512 200", "gzip", few)))


def test_a_volume_larger_than_the_free_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "in.nrrd", nrrd(SIZE, "raw", VOXELS.tobytes()))
    monkeypatch.setattr(memory, "free_memory", lambda: VOXELS.nbytes)
    assert "GiB are free" in refusal(path)


def test_free_memory_is_known_where_the_system_tells_it() -> None:
    free = memory.free_memory()
    if sys.platform == "win32":
        assert free is None
    else:
        assert free is not None
        assert 2**26 < free < 2**50


BOMB = b"\0" * 300_000_000


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    """Files of some 300 kB that unpack to 300 MB behind a header of 1024 voxels."""
    return {
        "in.nrrd": nrrd(SIZE, "gzip", gzip.compress(BOMB, 1)),
        "in.mha": metaimage(SIZE, zlib.compress(BOMB, 1), packed=True),
    }


@pytest.mark.parametrize("name", ["in.nrrd", "in.mha", "in.nii.gz"])
def test_a_decompression_bomb_is_refused_without_being_unpacked(bombs: dict[str, bytes], tmp_path: Path, name: str) -> None:
    content = bombs[name] if name in bombs else gzip.compress(nifti((16, 16, 4), tmp_path) + BOMB, 1)
    path = write(tmp_path / name, content)
    tracemalloc.start()
    start = time.perf_counter()
    sentence = refusal(path)
    seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "holds more voxels than" in sentence
    assert peak < 20e6
    assert seconds < 2


@pytest.mark.parametrize("name", ["in.nrrd", "in.mha"])
def test_an_honest_bomb_is_refused_for_the_memory_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 2**29)
    sizes = "1000 1000 150"
    content = nrrd(sizes, "gzip", gzip.compress(BOMB, 1)) if name == "in.nrrd" else None
    path = write(tmp_path / name, content or metaimage(sizes, zlib.compress(BOMB, 1), packed=True))
    assert "GiB are free" in refusal(path)


def test_a_damaged_stream_of_a_metaimage_is_refused(tmp_path: Path) -> None:
    # ITK gives voxels for every one of these.
    data = zlib.compress(VOXELS.tobytes())
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0x10
    checksum = bytearray(data)
    checksum[-1] ^= 1
    for content in (damaged, checksum, data[:-100], data[:-1], zlib.compress(VOXELS.tobytes()[:500])):
        path = write(tmp_path / "in.mha", metaimage(SIZE, bytes(content), packed=True))
        assert "cut off" in refusal(path)


def test_a_metaimage_that_claims_fewer_packed_bytes_than_there_are_is_refused(tmp_path: Path) -> None:
    content = metaimage(SIZE, zlib.compress(VOXELS.tobytes()), packed=True)
    for size in (b"100", b"0", b"-1", b"x"):
        changed = content.replace(b"CompressedDataSize = ", b"CompressedDataSize = " + size + b"\nOld = ")
        refusal(write(tmp_path / "in.mha", changed))


@pytest.mark.parametrize(
    "line", [b"CompressedData\0\0 False", b"CompressedData = False\nCompressedData = True", b"CompressedData"]
)
def test_a_metaimage_with_a_damaged_line_is_refused(tmp_path: Path, line: bytes) -> None:
    # ITK gives voxels for the first, from memory that nobody wrote.
    content = metaimage(SIZE, VOXELS.tobytes(), packed=False).replace(b"CompressedData = False", line)
    assert "its header is damaged" in refusal(write(tmp_path / "in.mha", content))


@pytest.mark.parametrize(
    ("slope", "offset", "named"),
    [("2", "0", "Slope other than 1"), ("1", "-1024", "Offset other than 0"), ("x", "0", "Slope other than 1")],
)
def test_a_metaimage_with_a_rescale_that_itk_drops_is_refused(tmp_path: Path, slope: str, offset: str, named: str) -> None:
    sentence = refusal(write(tmp_path / "in.mha", _rescaled(slope, offset)))
    assert f"an ElementToIntensityFunction{named}, which is not applied; save it with its HU as voxels" in sentence


def test_a_metaimage_whose_rescale_changes_nothing_is_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_volume(write(tmp_path / "in.mha", _rescaled("1.0", "-0"))).hu, VOXELS)


def _rescaled(slope: str, offset: str) -> bytes:
    lines = f"ElementToIntensityFunctionSlope = {slope}\nElementToIntensityFunctionOffset = {offset}\n"
    return metaimage(SIZE, VOXELS.tobytes(), packed=False).replace(b"DimSize", lines.encode() + b"DimSize")


@pytest.mark.parametrize("offset", [0.0, 348.0, 1e-30, -352.0])
def test_a_nifti_whose_voxels_begin_in_its_header_is_refused(tmp_path: Path, offset: float) -> None:
    content = bytearray(nifti((16, 16, 4), tmp_path))
    content[108:112] = struct.pack("<f", offset)
    assert "its header is damaged" in refusal(write(tmp_path / "in.nii", bytes(content)))


def test_a_metaimage_with_colons_is_read(tmp_path: Path) -> None:
    header, packed = metaimage(SIZE, b"", packed=True), zlib.compress(VOXELS.tobytes())
    content = header.replace(b"Size = 0", f"Size = {len(packed)}".encode()).replace(b" = ", b" : ") + packed
    np.testing.assert_array_equal(read_volume(write(tmp_path / "in.mha", content)).hu, VOXELS)


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("sizes", ["16 16 3", "16 15 4", "15 16 4"])
def test_a_header_that_claims_less_than_there_is_is_refused(tmp_path: Path, sizes: str, encoding: str) -> None:
    data = VOXELS.tobytes() if encoding == "raw" else gzip.compress(VOXELS.tobytes())
    assert "holds more voxels" in refusal(write(tmp_path / "in.nrrd", nrrd(sizes, encoding, data)))


def test_a_metaimage_that_is_not_packed_needs_no_packed_size(tmp_path: Path) -> None:
    plain = metaimage(SIZE, VOXELS.tobytes(), packed=False)
    odd = plain.replace(b"DimSize", b"CompressedDataSize = 1e3\nDimSize")
    np.testing.assert_array_equal(read_volume(write(tmp_path / "odd.mha", odd)).hu, VOXELS)
    bad = plain.replace(b"DimSize", b"CompressedDataSize = abc\nDimSize")
    assert "cannot be read" in refusal(write(tmp_path / "bad.mha", bad))


@pytest.mark.parametrize(
    "named", ["../secret.raw", "{outside}/secret.raw", "link.raw", "folder/../../secret.raw", "../secret.raw:="]
)
@pytest.mark.parametrize("suffix", [".nhdr", ".nrrd", ".mhd", ".mha"])
def test_a_header_cannot_name_a_file_outside_its_folder(tmp_path: Path, suffix: str, named: str) -> None:
    outside, inside = tmp_path, tmp_path / "inside"
    inside.mkdir()
    secret = write(outside / "secret.raw", VOXELS.tobytes())
    (inside / "link.raw").symlink_to(secret)
    named = named.format(outside=outside)
    content = nrrd(SIZE, "raw", b"", f"data file: {named}") if "n" in suffix else metaimage(SIZE, b"", packed=False, file=named)
    assert "outside its folder" in refusal(write(inside / f"in{suffix}", content))


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_a_header_names_a_file_beside_it_or_below(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path / "below" / "voxels.raw", VOXELS.tobytes())
    named = "below/voxels.raw"
    content = nrrd(SIZE, "raw", b"", f"data file: {named}") if "n" in suffix else metaimage(SIZE, b"", packed=False, file=named)
    np.testing.assert_array_equal(read_volume(write(tmp_path / f"in{suffix}", content)).hu, VOXELS)


@pytest.mark.parametrize("named", ["LIST", "slice%03d.raw 1 4 1", "missing.raw", "zero\0.raw"])
def test_a_header_without_one_data_file_is_refused(tmp_path: Path, named: str) -> None:
    refusal(write(tmp_path / "in.nhdr", nrrd(SIZE, "raw", b"", f"data file: {named}")))
    refusal(write(tmp_path / "in.mhd", metaimage(SIZE, b"", packed=False, file=named)))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFO files")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.nrrd")
    assert "not a regular file" in refusal(tmp_path / "in.nrrd")
    os.mkfifo(tmp_path / "voxels.raw")
    refusal(write(tmp_path / "in.nhdr", nrrd(SIZE, "raw", b"", "data file: voxels.raw")))


def test_a_picture_named_as_a_volume_reaches_no_picture_reader(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS[0].astype(np.uint8)), str(tmp_path / "picture.png"))
    for suffix in volume_file.VOLUME_SUFFIXES:
        path = write(tmp_path / f"in{suffix}", (tmp_path / "picture.png").read_bytes())
        assert "of another format" in refusal(path)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "in.nrrd", nrrd(SIZE, "raw", VOXELS.tobytes()))
    check = volume_file.check_payload

    def overwritten_meanwhile(*arguments: object) -> None:
        check(*arguments)  # type: ignore[arg-type]
        write(path, nrrd(SIZE, "raw", VOXELS[::-1].tobytes()))

    monkeypatch.setattr(volume_file, "check_payload", overwritten_meanwhile)
    assert "changed while it was read" in refusal(path)


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_a_data_file_that_vanishes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    data = write(tmp_path / "voxels.raw", VOXELS.tobytes())
    named = data.name
    content = nrrd(SIZE, "raw", b"", f"data file: {named}") if "n" in suffix else metaimage(SIZE, b"", packed=False, file=named)
    path = write(tmp_path / f"in{suffix}", content)
    check = volume_file.check_payload

    def removed_meanwhile(*arguments: object) -> None:
        check(*arguments)  # type: ignore[arg-type]
        data.unlink()

    monkeypatch.setattr(volume_file, "check_payload", removed_meanwhile)
    refusal(path)
