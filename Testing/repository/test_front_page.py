"""What ``import LDCTDenoiseLib`` offers, and how it answers to what cannot be meant."""

from __future__ import annotations

import pydoc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import LDCTDenoiseLib
from LDCTDenoiseLib import (
    Denoiser,
    InputError,
    LDCTDenoiseError,
    denoise_file,
    load_model,
    read_volume,
    simulate_low_dose,
    write_volume,
)
from LDCTDenoiseLib.ct.scan import Geometry, Scan


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
    assert repr(denoiser) == "<Denoiser tiny: 1 level, blend 0.5, float32 on cpu by torch>"


def test_a_scan_says_its_size_and_not_its_voxels() -> None:
    scan = Scan(np.zeros((3, 8, 9), np.int16), Geometry((5.0, 0.7, 0.75)))
    assert repr(scan) == "<Scan 3 slices of 8 x 9, int16, every 5 mm, pixels 0.7 x 0.75 mm>"


VOLUME = np.zeros((1, 8, 8), np.int16)
WRONG_TYPES: dict[str, tuple[Callable[[Denoiser], object], str]] = {
    "volume, a list": (lambda denoise: denoise([[[0]]]), "The volume is a list; a numpy array"),
    "volume, a path": (lambda denoise: denoise("scan.nrrd"), "The volume is a str; a numpy array"),
    "volume, nothing": (lambda denoise: denoise(None), "The volume is a NoneType; a numpy array"),
    "slices, text": (lambda denoise: denoise(VOLUME, slices="0:1"), "The slice range is '0:1'; a pair of whole numbers"),
    "slices, a slice": (lambda denoise: denoise(VOLUME, slices=slice(0, 1)), "The slice range is slice"),
    "slices, floats": (lambda denoise: denoise(VOLUME, slices=(0, 1.0)), "a pair of whole numbers"),
    "padding": (lambda denoise: denoise(VOLUME, padding_value="air"), "The padding value is a str; a number of HU or a mask"),
    "out": (lambda denoise: denoise(VOLUME, out=[]), "The output is a list; a numpy array"),
    "model": (lambda _: Denoiser(3), "The model is a int; a shipped model's name"),
    "device": (lambda _: Denoiser(device=0), "The device is a int; a name such as"),
    "blend": (lambda _: Denoiser(device="cpu", blend="0.7"), "The blend is a str; a number"),
    "levels": (lambda _: Denoiser(device="cpu", levels="1"), "The number of levels is a str; a whole number"),
    "batch size": (lambda _: Denoiser(device="cpu", batch_size=1.5), "The batch size is a float; a whole number"),
    "threads": (lambda _: Denoiser(device="cpu", threads="2"), "The number of threads is a str; a whole number"),
    "load_model": (lambda _: load_model(None), "The model is a NoneType; a shipped model's name"),
    "read_volume": (lambda _: read_volume(3), "The volume's path is a int; a path"),
    "write_volume, an array": (lambda _: write_volume(VOLUME, "out.nrrd"), "The volume is a ndarray; a Scan"),
    "write_volume, no path": (lambda _: write_volume(VOLUME, None), "The output is a NoneType; a path"),
    "denoise_file, source": (lambda denoise: denoise_file(VOLUME, "out.nrrd", denoise), "The source is a ndarray; a path"),
    "denoise_file, target": (lambda denoise: denoise_file("in.nrrd", None, denoise), "The target is a NoneType; a path"),
    "denoise_file, a model": (lambda _: denoise_file("in.nrrd", "out.nrrd", "default"), "The denoiser is a str; a Denoiser"),
    "denoise_file, options": (
        lambda denoise: denoise_file("in.nrrd", "out.nrrd", denoise, {}),
        "The argument options is a dict; a FileOptions",
    ),
    "simulate, volume": (lambda _: simulate_low_dose([[[0]]], (1, 1), 0.5), "The volume is a list; a numpy array"),
    "simulate, spacing": (lambda _: simulate_low_dose(VOLUME, 0.7, 0.5), "The spacing is 0.7; a pair"),
    "simulate, spacing as text": (lambda _: simulate_low_dose(VOLUME, "ab", 0.5), "The spacing is 'ab'; a pair"),
    "simulate, dose": (lambda _: simulate_low_dose(VOLUME, (1, 1), "25 %"), "The dose fraction is a str; a number"),
    "simulate, seed": (lambda _: simulate_low_dose(VOLUME, (1, 1), 0.5, seed="a"), "The seed is a str; a whole number"),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_another_type_than_is_meant_gets_a_sentence(tiny_model: Path, name: str) -> None:
    call, sentence = WRONG_TYPES[name]
    with pytest.raises(InputError) as error:
        call(Denoiser(tiny_model, device="cpu"))
    assert sentence in str(error.value)


def test_numpys_numbers_are_numbers(tiny_model: Path) -> None:
    one = np.int64(1)
    denoise = Denoiser(tiny_model, device="cpu", levels=one, blend=np.float32(0.5), batch_size=one, threads=one)
    assert denoise(VOLUME, slices=(np.int32(0), one), padding_value=np.float64(-2000)).shape == VOLUME.shape
    simulate_low_dose(VOLUME, np.array([1.0, 1.0]), np.float32(1), seed=one)
