"""The counts of docs/safety.md are those of the tests that it names."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest

from Testing.conftest import REPOSITORY

COUNTS = {  # a test file, the beginnings of its tests' names, and what safety.md says of them
    ("worker/test_hostile_messages.py", ""): r"(\d+) cases",
    ("denoising/test_faults.py", "a_full a_disk a_folder an_input a_slice a_series a_volume a_source"): r"(\d+) cases",
    ("dicom/test_text_bytes.py", "text"): r"(\d+) texts, also in sequences",
    ("dicom/test_pixel_bits.py", "bits_of"): r"(\d+) overlays",
    ("dicom/test_pixel_bits.py", "another"): r"(\d+) HighBits",
    ("dicom/test_pixel_bits.py", "padding"): r"(\d+) paddings",
    ("dicom/test_identity.py", "two_patients"): r"(\d+) mixtures",
    ("denoising/test_staged_batch.py", "whoever"): r"(\d+) moments",
    ("examples/test_orthanc.py", ""): r"(\d+) scenes",
    ("volumes/test_hostile_headers.py", "a_header a_metaimage a_name a_nifti an_nrrd another the_number"): r"(\d+) cases",
}
TWICE = {"dicom/test_text_bytes.py"}
"""Each case in a sequence and outside."""


@pytest.fixture(scope="module")
def collected() -> list[str]:
    files = sorted({f"Testing/{name}" for name, _ in COUNTS})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [line for line in result.stdout.splitlines() if "::" in line]


@pytest.mark.parametrize(("file", "names"), COUNTS)
def test_safety_counts_what_is_tested(collected: list[str], file: str, names: str) -> None:
    starts = tuple(f"Testing/{file}::test_{name}" for name in names.split() or [""])
    found = Counter(line.startswith(starts) for line in collected)[True] // (2 if file in TWICE else 1)
    page = (REPOSITORY / "docs" / "safety.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if f"`Testing/{file}`" in line and re.search(COUNTS[file, names], line))
    assert [int(number) for number in re.findall(COUNTS[file, names], row)] == [found]
