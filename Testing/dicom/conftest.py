"""Fixtures of the DICOM tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from LDCTDenoiseLib import Denoiser


@pytest.fixture(scope="module")
def zero(tiny_model: Path) -> Denoiser:
    """Changes nothing, so that every difference is a fault of reading or writing."""
    return Denoiser(tiny_model, device="cpu", levels=1, blend=0)
