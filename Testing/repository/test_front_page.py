"""What ``import LDCTDenoiseLib`` offers, and how it answers to what cannot be meant."""

from __future__ import annotations

import pydoc
from pathlib import Path

import pytest

import LDCTDenoiseLib
from LDCTDenoiseLib import Denoiser, InputError, LDCTDenoiseError


def test_everything_promised_is_there_in_dir_and_in_help() -> None:
    assert set(LDCTDenoiseLib.__all__) <= set(dir(LDCTDenoiseLib))
    told = pydoc.plain(pydoc.render_doc(LDCTDenoiseLib))
    for name in LDCTDenoiseLib.__all__:
        assert getattr(LDCTDenoiseLib, name) is not None
    for name in (
        "Denoiser",
        "denoise_file",
        "load_model",
        "read_volume",
        "simulate_low_dose",
        "write_volume",
        "LDCTDenoiseError",
    ):
        assert name in told
    assert issubclass(InputError, LDCTDenoiseError)
    with pytest.raises(AttributeError, match="no attribute 'denoise_folder'"):
        _ = LDCTDenoiseLib.denoise_folder


def test_the_types_are_told_to_checkers() -> None:
    assert (Path(LDCTDenoiseLib.__file__).parent / "py.typed").is_file()


def test_a_denoiser_says_what_it_is(tiny_model: Path) -> None:
    denoiser = Denoiser(tiny_model, device="cpu", backend="torch", levels=1, blend=0.5)
    assert repr(denoiser) == "<Denoiser tiny: 1 level(s), blend 0.5, float32 on cpu by torch>"


@pytest.mark.parametrize("volume", [[[[0]]], "scan.nrrd", None])
def test_what_is_no_array_gets_a_sentence(tiny_model: Path, volume: object) -> None:
    with pytest.raises(InputError, match=rf"is a {type(volume).__name__}; a numpy array"):
        Denoiser(tiny_model, device="cpu")(volume)  # type: ignore[arg-type]


def test_a_model_of_another_type_gets_a_sentence() -> None:
    with pytest.raises(InputError, match="is a int; a shipped model's name"):
        Denoiser(3)  # type: ignore[arg-type]
