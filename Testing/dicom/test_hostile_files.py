"""DICOM from strangers: refused in a sentence, before memory is taken or a file outside the folder is touched."""

from __future__ import annotations

import struct
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
)

from LDCTDenoiseLib.dicom.ct_series import read_ct_series
from LDCTDenoiseLib.dicom.find_series import find_series
from LDCTDenoiseLib.errors import InputError
from Testing.dicom.dicom_files import make_enhanced, make_slice, save, save_series

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:The value length")  # they are meant to be
STORED = np.random.default_rng(0).integers(0, 2000, (3, 64, 64)).astype(np.uint16)


def refusal(source: Path) -> tuple[str, float, int]:
    """The sentence, the seconds it took, and the most memory that Python took."""
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(InputError) as refused:
        read_ct_series(source)
    seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return str(refused.value), seconds, peak


# Claims


def test_rows_and_columns_beyond_any_ct_are_refused(tmp_path: Path) -> None:
    for number in range(3):
        save(make_slice(number, {"Rows": 60000, "Columns": 60000}, STORED[number]), tmp_path / f"{number}.dcm")
    sentence, seconds, peak = refusal(tmp_path)
    assert "3 x 60000 x 60000 voxels, more than any CT has" in sentence
    assert seconds < 2
    assert peak < 20e6


@pytest.mark.parametrize("frames", [60000, 2**31 - 1])
def test_frames_that_are_not_described_are_refused(tmp_path: Path, frames: int) -> None:
    dataset = make_enhanced([0, 1, 2])
    dataset.NumberOfFrames = frames
    save(dataset, tmp_path / "0.dcm")
    sentence, seconds, peak = refusal(tmp_path)
    assert "describes 3 of its frames" in sentence
    assert seconds < 2
    assert peak < 20e6


# Bombs


def deflated(path: Path, more: int) -> Path:
    """A deflated slice with an element of zeros behind its pixels, ``more`` bytes long."""
    dataset = make_slice(0, stored=STORED[0])
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    save(dataset, path)
    content = path.read_bytes()
    start = 132 + 12 + read_file_meta_info(path).FileMetaInformationGroupLength
    element = struct.pack("<HH2sHI", 0x7FE1, 0x0010, b"OB", 0, more)
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(zlib.decompress(content[start:], -zlib.MAX_WBITS) + element)
    packed += b"".join(packer.compress(bytes(2**22)) for _ in range(more // 2**22)) + packer.flush()
    path.write_bytes(content[:start] + packed)
    return path


def test_a_deflated_bomb_is_refused_without_being_unpacked(tmp_path: Path) -> None:
    path = deflated(tmp_path / "0.dcm", 2**30)
    assert path.stat().st_size < 10e6
    sentence, seconds, peak = refusal(tmp_path)
    assert "0.dcm unpacks to more than the image that its header describes" in sentence
    assert seconds < 20
    assert peak < 300e6


def test_a_deflated_bomb_with_a_false_length_of_its_meta_information_is_refused(tmp_path: Path) -> None:
    path = deflated(tmp_path / "0.dcm", 2**28)
    content = bytearray(path.read_bytes())
    harmless = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # A reader that trusts the length would look at this small stream behind the bomb.
    struct.pack_into("<I", content, 140, len(content) - 144)
    path.write_bytes(bytes(content) + harmless.compress(b"harmless") + harmless.flush())
    _, _, peak = refusal(tmp_path)
    assert peak < 300e6


def test_a_deflated_slice_with_a_large_header_is_read(tmp_path: Path) -> None:
    deflated(tmp_path / "0.dcm", 2**22)
    np.testing.assert_array_equal(read_ct_series(tmp_path).hu[0], STORED[0].astype(int) - 1024)


def patched_size(picture: bytes, syntax: str, rows: int, columns: int) -> bytes:
    """A picture that claims another size than it has."""
    changed = bytearray(picture)
    if syntax == JPEG2000Lossless:
        place = picture.index(b"\xff\x51") + 6
        struct.pack_into(">II", changed, place, columns, rows)
        struct.pack_into(">II", changed, place + 16, columns, rows)  # one tile
    else:
        struct.pack_into(">HH", changed, picture.index(b"\xff\xf7") + 5, rows, columns)
    return bytes(changed)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("change", ["huge", "one row more", "several samples", "no picture"])
def test_a_picture_of_another_size_than_the_headers_is_not_decoded(tmp_path: Path, syntax: str, change: str) -> None:
    dataset = make_slice(0, stored=STORED[0])
    dataset.compress(syntax, generate_instance_uid=False)
    picture = next(generate_frames(dataset.PixelData, number_of_frames=1))
    samples = picture.index(b"\xff\x51") + 39 if syntax == JPEG2000Lossless else picture.index(b"\xff\xf7") + 9
    changes: dict[str, Callable[[], bytes]] = {
        "huge": lambda: patched_size(picture, syntax, 60000, 60000),
        "one row more": lambda: patched_size(picture, syntax, 65, 64),
        "several samples": lambda: picture[:samples] + b"\x40" + picture[samples + 1 :],
        "no picture": lambda: bytes(len(picture)),
    }
    dataset.PixelData = encapsulate([changes[change]()])
    save(dataset, tmp_path / "0.dcm")
    sentence, seconds, peak = refusal(tmp_path)
    assert "a picture's size is not the header's" in sentence
    assert seconds < 2
    assert peak < 20e6


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_picture_of_the_headers_size_is_decoded(tmp_path: Path, syntax: str) -> None:
    dataset = make_slice(0, stored=STORED[0])
    dataset.compress(syntax, generate_instance_uid=False)
    save(dataset, tmp_path / "0.dcm")
    np.testing.assert_array_equal(read_ct_series(tmp_path).hu[0], STORED[0].astype(int) - 1024)


# References out of the folder


def make_dicomdir(folder: Path, references: list[list[str]]) -> Path:
    """A DICOMDIR whose image records name these files."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.DirectoryRecordSequence = []
    for reference in references:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = reference
        dataset.DirectoryRecordSequence.append(record)
    return save(dataset, folder / "DICOMDIR")


def opened_while(action: Callable[[], object]) -> list[str]:
    """Paths that Python opens meanwhile."""
    opened: list[str] = []
    listening = True

    def listen(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(listen)
    action()
    listening = False
    return opened


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
@pytest.mark.parametrize(
    "reference",
    [
        ["..", "secret.dcm"],
        ["images", "..", "..", "secret.dcm"],
        ["../secret.dcm"],
        ["{outside}/secret.dcm"],
        ["", "etc", "passwd"],
        ["link.dcm"],
        ["folder", "secret.dcm"],
        ["C:secret.dcm"],
    ],
)
def test_a_dicomdir_cannot_name_a_file_outside_its_folder(tmp_path: Path, reference: list[str]) -> None:
    medium = tmp_path / "medium"
    (medium / "images").mkdir(parents=True)
    secret = save(make_slice(0), tmp_path / "secret.dcm")
    (medium / "link.dcm").symlink_to(secret)
    (medium / "folder").symlink_to(tmp_path)
    save(make_slice(1), medium / "images" / "1.dcm")
    reference = [part.format(outside=tmp_path) for part in reference]
    dicomdir = make_dicomdir(medium, [["images", "1.dcm"], reference])

    def refuse() -> None:
        with pytest.raises(InputError, match=r"DICOMDIR points to a file outside its folder|names a file that is not there"):
            find_series(dicomdir)

    assert not [path for path in opened_while(refuse) if "secret" in path or "passwd" in path or "link" in path]


def test_a_dicomdir_names_files_in_its_folder(tmp_path: Path) -> None:
    save_series(tmp_path / "IMAGES", [0, 1, 2])
    dicomdir = make_dicomdir(tmp_path, [["IMAGES", f"{number}.dcm"] for number in range(3)])
    assert len(find_series(dicomdir).series[0].paths) == 3
    opened = opened_while(lambda: find_series(dicomdir))
    assert any("1.dcm" in path for path in opened)  # the listener of the test above hears pydicom open files


def test_a_dicomdir_that_names_itself_ends(tmp_path: Path) -> None:
    dicomdir = make_dicomdir(tmp_path, [["DICOMDIR"]] * 3)
    assert find_series(dicomdir).series == []


def test_sequences_without_end_are_refused(tmp_path: Path) -> None:
    # Nested items: a parser that recurses without limit would end its process.
    depth = 5000
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    opening = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + item
    save(make_slice(0), tmp_path / "0.dcm")
    content = (tmp_path / "0.dcm").read_bytes()
    place = content.index(struct.pack("<HH", 0x0010, 0x0010))
    (tmp_path / "0.dcm").write_bytes(content[:place] + opening * depth + content[place:])
    sentence, seconds, _ = refusal(tmp_path)
    assert "0.dcm" in sentence
    assert seconds < 10


def test_the_shape_of_a_value_is_checked_before_it_is_used(tmp_path: Path) -> None:
    dataset = make_slice(0, stored=STORED[0])
    dataset.add_new("PixelRepresentation", "US", [0, 0])
    save(dataset, tmp_path / "0.dcm")
    assert "lacks PixelRepresentation" in refusal(tmp_path)[0]
    assert pydicom.dcmread(tmp_path / "0.dcm").PixelRepresentation == [0, 0]
