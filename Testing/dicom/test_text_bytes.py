"""Text that does not fit its character set keeps its bytes."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.denoising.one_file import FileOptions, denoise_file
from LDCTDenoiseLib.dicom.write_series import Compression, DicomOutput
from Testing.dicom.dicom_files import make_slice, save

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


NAME = "M\u00fcller^J\u00f6rg"


@pytest.mark.parametrize(
    ("character_set", "raw"),
    [
        ("ISO_IR 192", NAME.encode("latin-1")),
        ("ISO_IR 13", NAME.encode("latin-1")),
        (["ISO_IR 100", "ISO 2022 IR 87"], b"\x1b$B\x7f\x7f"),
        (None, NAME.encode("latin-1")),
        ("ISO_IR 999", NAME.encode()),
        ("ISO_IR 100", NAME.encode("latin-1")),
        ("ISO_IR 192", NAME.encode()),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_text_that_does_not_fit_its_character_set_keeps_its_bytes(
    tmp_path: Path, zero: Denoiser, character_set: object, raw: bytes, nested: bool
) -> None:
    raw += b" " * (len(raw) % 2)
    dataset = make_slice(0, {"PatientName": "N" * len(raw), "InstitutionName": "I" * len(raw)})
    item = Dataset()
    item.PersonName = "P" * len(raw)
    dataset.ReferringPhysicianIdentificationSequence = [item]
    if character_set is not None:
        dataset.SpecificCharacterSet = character_set
    content = save(dataset, tmp_path / "in" / "0.dcm").read_bytes()
    for letter in (b"P",) if nested else (b"N", b"I"):
        assert content.count(letter * len(raw)) == 1
        content = content.replace(letter * len(raw), raw)
    (tmp_path / "in" / "0.dcm").write_bytes(content)
    for compression in ("none", "rle"):
        options = FileOptions(overwrite=True, dicom=DicomOutput(compression=Compression(compression)))
        denoise_file(tmp_path / "in", tmp_path / "out", zero, options)
        derived = pydicom.dcmread(tmp_path / "out" / "00001.dcm")
        for element in (
            [derived.ReferringPhysicianIdentificationSequence[0].get_item("PersonName")]
            if nested
            else [derived.get_item("PatientName"), derived.get_item("InstitutionName")]
        ):
            assert element.value == raw, compression
