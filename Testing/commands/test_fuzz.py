"""Damaged files: whatever is broken in them, a run ends in a whole output with the right voxels, or in one sentence and none.

Every mutation is a file that is cut off, or has bits flipped, bytes overwritten or zeroed: half of them in its header. A run that
goes through must give (with ``--blend 0``) exactly the voxels that the damaged file holds, read without this library: those
before the damage where a checksum would have told, and the damaged ones where nothing could.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import struct
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from Testing.commands.denoise_many import Answer, DenoiseMany
from Testing.dicom.dicom_files import make_enhanced, make_slice, save

MEMORY = 2 * 2**30
"""Bytes: torch and the libraries take about a third of it."""


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell a process's memory this way")


def phantom() -> np.ndarray:
    """A disc in air, int16: compressible, as CT is."""
    row, column = np.ogrid[:40, :36]
    inside = (row - 20) ** 2 + (column - 18) ** 2 < 150
    noise = np.random.default_rng(0).normal(0, 12, (5, 40, 36))
    return np.rint(np.where(inside, 40 + noise, -1000)).astype("<i2")


def mutate(content: bytes, header: int, seed: str) -> bytes:
    """A damaged copy.

    Args:
        content: the whole file.
        header: length of its header, where half of the damage goes.
        seed: which damage.
    """
    chance = random.Random(seed)
    end = header if chance.random() < 0.5 else len(content)
    damaged = bytearray(content)
    kind = chance.choice(["cut", "flip", "flip", "flip", "overwrite", "zero"])
    if kind == "cut":
        return content[: chance.randrange(end)]
    if kind == "flip":
        for _ in range(chance.choice([1, 1, 2, 8])):
            damaged[chance.randrange(end)] ^= 1 << chance.randrange(8)
        return bytes(damaged)
    first = chance.randrange(end)
    length = min(chance.choice([1, 2, 4, 16, 64]), len(content) - first)
    damaged[first : first + length] = chance.randbytes(length) if kind == "overwrite" else bytes(length)
    return bytes(damaged)


def assert_refused(answer: Answer, what: str) -> None:
    assert answer.code == 1, f"{what}: {answer}"
    assert answer.out == "", what
    last = answer.err.splitlines()[-1]
    assert last.startswith("ldctdenoise: "), f"{what}: {answer.err}"
    assert "Unexpected failure" not in answer.err, f"{what}: {answer.err}"
    assert "Traceback" not in answer.err, what


def assert_well_behaved(answer: Answer, what: str) -> None:
    assert answer.code in (0, 1), f"{what}: {answer}"
    assert answer.seconds < 20, f"{what}: {answer}"
    assert answer.memory < MEMORY, f"{what}: {answer}"


@dataclass(frozen=True)
class VolumeKind:
    """A kind of volume file, and how to read its voxels without a library."""

    suffix: str
    compressed: bool
    reader: str

    def save(self, path: Path) -> bytes:
        sitk.WriteImage(sitk.GetImageFromArray(phantom()), str(path), useCompression=self.compressed)
        return path.read_bytes()

    def header_length(self, content: bytes) -> int:
        if self.suffix == ".nii":
            return 352
        return 300 if self.compressed else len(content) - phantom().nbytes

    def voxels(self, damaged: bytes) -> np.ndarray:
        """What a damaged file holds: with a checksum, the voxels before the damage."""
        voxels = phantom()
        if self.compressed:
            return voxels
        stored = np.frombuffer(damaged[-voxels.nbytes :], "<i2").reshape(voxels.shape)
        if self.suffix == ".nii":
            slope, intercept = (one if np.isfinite(one) else 0 for one in struct.unpack("<2f", damaged[112:120]))
            if slope not in (0, 1) or intercept:
                return stored * (slope or 1) + intercept
        return stored


VOLUMES = {
    "nrrd": VolumeKind(".nrrd", compressed=False, reader="NrrdImageIO"),
    "nrrd gzip": VolumeKind(".nrrd", compressed=True, reader="NrrdImageIO"),
    "nifti": VolumeKind(".nii", compressed=False, reader="NiftiImageIO"),
    "nifti gzip": VolumeKind(".nii.gz", compressed=True, reader="NiftiImageIO"),
    "metaimage": VolumeKind(".mha", compressed=False, reader="MetaImageIO"),
    "metaimage zlib": VolumeKind(".mha", compressed=True, reader="MetaImageIO"),
}


def fuzz_volume(run: DenoiseMany, model: Path, folder: Path, name: str, count: int) -> Counter[str]:
    kind = VOLUMES[name]
    source, target = folder / f"in{kind.suffix}", folder / f"out{kind.suffix}"
    content = kind.save(source)
    outcomes: Counter[str] = Counter()
    for number in range(count):
        what = f"{name} {number}"
        damaged = mutate(content, kind.header_length(content), what)
        source.write_bytes(damaged)
        answer = run("denoise", source, target, "--model", model, "--blend", 0, "--force", "--device", "cpu", "--quiet")
        assert_well_behaved(answer, what)
        if answer.code:
            assert_refused(answer, what)
            assert [path.name for path in folder.iterdir()] == [source.name], what
        else:
            before, after = sitk.ReadImage(str(source), imageIO=kind.reader), sitk.ReadImage(str(target))
            np.testing.assert_allclose(sitk.GetArrayFromImage(after), kind.voxels(damaged), rtol=1e-6, atol=1e-30, err_msg=what)
            for place in ("GetSpacing", "GetOrigin", "GetDirection"):
                np.testing.assert_allclose(getattr(after, place)(), getattr(before, place)(), rtol=1e-6, atol=1e-9, err_msg=what)
            target.unlink()
        outcomes["refused" if answer.code else "whole and right"] += 1
    return outcomes


def fuzz_model(run: DenoiseMany, model: Path, folder: Path, name: str, count: int) -> Counter[str]:
    source, target, damaged_model = folder / "in.nrrd", folder / "out.nrrd", folder / "damaged.safetensors"
    sitk.WriteImage(sitk.GetImageFromArray(phantom()), str(source))
    content = model.read_bytes()
    header = 8 + struct.unpack("<Q", content[:8])[0]
    outcomes: Counter[str] = Counter()
    expected: bytes | None = None
    for number in range(-1, count):  # the first is whole: what it gives, all that are not refused must give
        what = f"{name} {number}"
        damaged_model.write_bytes(content if number < 0 else mutate(content, header, what))
        answer = run("denoise", source, target, "--model", damaged_model, "--device", "cpu", "--quiet")
        assert_well_behaved(answer, what)
        if answer.code:
            assert_refused(answer, what)
            assert not target.exists(), what
        else:
            voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(target))).tobytes()
            expected = expected or voxels
            assert voxels == expected, what
            target.unlink()
        if number >= 0:
            outcomes["refused" if answer.code else "whole and right"] += 1
    return outcomes


@dataclass(frozen=True)
class DicomKind:
    """A kind of DICOM series, and how to read it without this library."""

    syntax: str = ExplicitVRLittleEndian
    multi_frame: bool = False

    def save(self, folder: Path) -> list[bytes]:
        """Write the series; the content of its files."""
        folder.mkdir()
        stored = (phantom() + 1024).astype(np.uint16)
        series = [make_slice(number, stored=one) for number, one in enumerate(stored)]
        if self.multi_frame:
            series = [make_enhanced(list(range(len(stored))))]
            _, series[0].Rows, series[0].Columns = stored.shape
            series[0].PixelData = stored.tobytes()
        for number, one in enumerate(series):
            if self.syntax == DeflatedExplicitVRLittleEndian:
                one.file_meta.TransferSyntaxUID = self.syntax
            elif self.syntax != ExplicitVRLittleEndian:
                one.compress(self.syntax, generate_instance_uid=False)
            save(one, folder / f"{number}.dcm")
        return [path.read_bytes() for path in sorted(folder.iterdir())]

    def header_length(self, content: bytes) -> int:
        place = content.find(b"\xe0\x7f\x10\x00")  # the tag of the pixel data, which deflating hides
        return place + 12 if place > 0 else 500


DICOM = {
    "dicom": DicomKind(),
    "dicom deflated": DicomKind(DeflatedExplicitVRLittleEndian),
    "dicom rle": DicomKind(RLELossless),
    "dicom jpeg 2000": DicomKind(JPEG2000Lossless),
    "dicom jpeg-ls": DicomKind(JPEGLSLossless),
    "dicom multi-frame": DicomKind(multi_frame=True),
}


def group_with(keyword: str, groups: Dataset) -> Dataset:
    """The functional group that holds a value, even where the group's own name is damaged."""
    return next(element.value[0] for element in groups if element.VR == "SQ" and keyword in element.value[0])


def slices_of(path: Path) -> dict[tuple[str, int], tuple[np.ndarray, list[float]]]:
    """HU and position of every slice in a DICOM file by the image's UID and frame, as pydicom reads them."""
    dataset = pydicom.dcmread(path)
    stored = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    found = {}
    for frame, values in enumerate(stored):
        if "SharedFunctionalGroupsSequence" in dataset:
            rescale = group_with("RescaleSlope", dataset.SharedFunctionalGroupsSequence[0])
            place = group_with("ImagePositionPatient", dataset.PerFrameFunctionalGroupsSequence[frame])
        else:
            rescale = place = dataset
        hu = values * float(rescale.RescaleSlope) + float(rescale.RescaleIntercept)
        found[str(dataset.SOPInstanceUID), frame + 1] = hu, [float(value) for value in place.ImagePositionPatient]
    return found


def assert_derived_from(target: Path, source: Path, what: str) -> int:
    """Compare every slice of a derived series with the one that it names as its source; how many there are."""
    originals: dict[tuple[str, int], tuple[np.ndarray, list[float]]] = {}
    for path in source.iterdir():
        with contextlib.suppress(Exception):  # what this reader refuses, the output cannot name
            originals |= slices_of(path)
    derived = sorted(target.iterdir())
    for path in derived:
        reference = pydicom.dcmread(path).SourceImageSequence[0]
        frame = int(reference.get("ReferencedFrameNumber") or 1)
        ((hu, position),) = slices_of(path).values()
        original_hu, original_position = originals[str(reference.ReferencedSOPInstanceUID), frame]
        np.testing.assert_array_equal(hu, original_hu, what)
        assert position == original_position, what
    return len(derived)


def fuzz_dicom(run: DenoiseMany, model: Path, folder: Path, name: str, count: int) -> Counter[str]:
    source, target = folder / "in", folder / "out"
    contents = DICOM[name].save(source)
    outcomes: Counter[str] = Counter()
    for number in range(count):
        what = f"{name} {number}"
        victim = number % len(contents)
        damaged = mutate(contents[victim], DICOM[name].header_length(contents[victim]), what)
        (source / f"{victim}.dcm").write_bytes(damaged)
        answer = run("denoise", source, target, "--model", model, "--blend", 0, "--device", "cpu")
        assert_well_behaved(answer, what)
        if answer.code:
            assert_refused(answer, what)
            assert [path.name for path in folder.iterdir()] == ["in"], what
        else:
            slices = assert_derived_from(target, source, what)
            assert slices == len(phantom()) or "left out" in answer.err.lower(), f"{what}: {answer.err}"
            shutil.rmtree(target)
        outcomes["refused" if answer.code else "whole and right"] += 1
        (source / f"{victim}.dcm").write_bytes(contents[victim])
    return outcomes


Fuzz = Callable[[DenoiseMany, Path, Path, str, int], Counter[str]]
KINDS: dict[str, Fuzz] = {
    **dict.fromkeys(VOLUMES, fuzz_volume),
    **dict.fromkeys(DICOM, fuzz_dicom),
    "safetensors": fuzz_model,
}


@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_end_in_the_right_voxels_or_a_sentence(
    denoise_many: DenoiseMany, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    report(capsys, name, KINDS[name](denoise_many, tiny_model, tmp_path, name, 5))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_hundreds_of_damaged_files_end_in_the_right_voxels_or_a_sentence(
    denoise_many: DenoiseMany, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    report(capsys, name, KINDS[name](denoise_many, tiny_model, tmp_path, name, 154))


def report(capsys: pytest.CaptureFixture[str], name: str, outcomes: Counter[str]) -> None:
    with capsys.disabled():
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        print(f"\nfuzz {name}: {outcomes.total()} mutations: {told}")
