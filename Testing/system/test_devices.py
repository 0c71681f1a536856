"""Which GPU the system has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from LDCTDenoiseLib.system import devices

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no device files")


@pytest.mark.parametrize(
    ("names", "found"),
    [(["nvidia0", "nvidiactl"], True), (["nvidia3", "nvidiactl"], True), (["nvidia12"], True), (["nvidia-caps", "null"], False)],
)
def test_an_nvidia_gpu_is_found_whatever_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], found: bool
) -> None:
    if Path("/usr/lib/wsl/lib/libcuda.so.1").exists():
        pytest.skip("WSL has no such device files")
    monkeypatch.setattr(devices, "_DEVICE_FILES", tmp_path)
    for name in names:
        (tmp_path / name).touch()
    assert devices.has_nvidia_gpu() is found
