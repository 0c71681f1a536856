"""The engine with each backend and precision: the same voxels, on the phantom and on real volumes, run for run."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.inference.backends import Backend, choose_backend, choose_precision, onednn, openvino
from LDCTDenoiseLib.simulation.phantom import make_phantom
from LDCTDenoiseLib.volumes.volume_file import read_volume

CPU = torch.device("cpu")
REAL = (
    "abdomen_CRLM-CT-1004",
    "abdpelvis_TCGA-OV_09-2043",
    "chest_LIDC-IDRI-0001",
    "chestabd_CPTAC-PDA_C3N-00249",
    "head_CPTAC-LSCC_C3N-04457_neurocranium",
    "neck_TCGA-THCA_E3-A3E5_larynx",
)
WITH_OPENVINO = pytest.mark.skipif(not openvino.is_installed(), reason="the extra openvino is not installed")
WITH_BFLOAT16 = pytest.mark.skipif(
    not (onednn.has_bfloat16() and onednn.is_usable()), reason="this CPU has no instructions for bfloat16"
)
BFLOAT16_HU = 0.5
FASTER = [
    pytest.param({"backend": "openvino"}, 0.01, 0.001, id="openvino", marks=WITH_OPENVINO),
    pytest.param({"precision": "bfloat16"}, BFLOAT16_HU, 0.05, id="bfloat16", marks=WITH_BFLOAT16),
]


def assert_agreement(volume: np.ndarray, options: dict[str, str], largest: float, mean: float) -> None:
    """Both in float32 HU: what PyTorch's float32 gives, and what the options give."""
    volume = volume.astype(np.float32)
    difference = Denoiser(device="cpu", **options)(volume) - Denoiser(device="cpu", backend="torch")(volume)
    assert np.abs(difference).max() < largest
    assert np.abs(difference).mean() < mean
    assert abs(difference.mean()) < 0.01


@pytest.mark.parametrize(("options", "largest", "mean"), FASTER)
def test_backends_agree_on_the_phantom(options: dict[str, str], largest: float, mean: float) -> None:
    assert_agreement(make_phantom(2, 192).scan(0.25), options, largest, mean)


@pytest.mark.parametrize(("options", "largest", "mean"), FASTER)
def test_backends_agree_on_real_slices(shared: Path, options: dict[str, str], largest: float, mean: float) -> None:
    volume = np.stack([_middle(shared, name)[160:352, 64:256] for name in REAL[1:4]])
    assert_agreement(volume, options, largest, mean)


def _middle(shared: Path, name: str) -> np.ndarray:
    volume = read_volume(shared / f"data/train/{name}.nrrd").hu
    return volume[len(volume) // 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(("options", "largest", "mean"), FASTER)
def test_backends_agree_on_real_volumes(shared: Path, name: str, options: dict[str, str], largest: float, mean: float) -> None:
    volume = read_volume(shared / f"data/train/{name}.nrrd").hu
    assert_agreement(volume[:: max(1, len(volume) // 8)], options, largest, mean)


REPEATED = """
import hashlib
import numpy as np
from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.inference.backends import openvino

def digests():
    volume = np.random.default_rng(0).normal(40, 60, (2, 96, 100)).astype(np.float32)
    options = [{"backend": "torch"}, {"precision": "bfloat16"}] + [{"backend": "openvino"}] * openvino.is_installed()
    results = [Denoiser(device="cpu", **one)(volume) for one in options]
    return [hashlib.sha256(one.tobytes()).hexdigest() for one in results]
"""


def test_every_process_gives_the_same_bits() -> None:
    here: dict[str, Callable[[], list[str]]] = {}
    exec(REPEATED, here)  # type: ignore[arg-type]
    command = [sys.executable, "-c", REPEATED + "print(digests())"]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    elsewhere = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **threads})
    assert elsewhere.stdout.strip() == str(here["digests"]())


@pytest.mark.parametrize("backend", ["torch", pytest.param("openvino", marks=WITH_OPENVINO)])
def test_threads_are_as_many_as_asked_and_only_while_it_computes(
    tiny_model: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = np.random.default_rng(0).normal(40, 60, (1, 40, 48)).astype(np.float32)
    before = torch.get_num_threads()
    denoiser = Denoiser(tiny_model, device="cpu", backend=backend, threads=3)
    seen: list[int] = []
    forward = denoiser._cascade.forward

    def noted(x: torch.Tensor, levels: int | None = None) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return forward(x, levels)

    monkeypatch.setattr(denoiser._cascade, "forward", noted)
    result = denoiser(volume)
    assert seen == [3]
    assert torch.get_num_threads() == before
    np.testing.assert_allclose(result, Denoiser(tiny_model, device="cpu", backend=backend)(volume), atol=2e-3)


def test_only_the_levels_that_are_used_are_prepared(tiny_model: Path) -> None:
    assert len(Denoiser(tiny_model, device="cpu", levels=1)._cascade.networks) == 1
    assert len(Denoiser(tiny_model, device="cpu")._cascade.networks) == 2


@pytest.mark.parametrize(
    ("device", "precision", "installed", "chosen"),
    [
        ("cpu", torch.float32, True, Backend.OPENVINO),
        ("cpu", torch.float32, False, Backend.TORCH),
        ("cpu", torch.bfloat16, True, Backend.TORCH),
        ("cuda", torch.float16, True, Backend.TORCH),
        ("mps", torch.float32, True, Backend.TORCH),
    ],
)
def test_auto_takes_openvino_on_the_cpu_where_it_is_installed(
    device: str, precision: torch.dtype, installed: bool, chosen: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "is_installed", lambda: installed)
    assert choose_backend("auto", torch.device(device), precision) is chosen
    assert choose_backend("torch", torch.device(device), precision) is Backend.TORCH


@pytest.mark.parametrize(("device", "precision"), [("cuda", torch.float32), ("cpu", torch.bfloat16)])
def test_openvino_is_refused_where_it_cannot_compute(device: str, precision: torch.dtype) -> None:
    with pytest.raises(InputError, match="float32 on the CPU"):
        choose_backend("openvino", torch.device(device), precision)


def test_an_unknown_backend_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no backend 'tensorrt'.*auto, torch, openvino"):
        choose_backend("tensorrt", CPU, torch.float32)


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_refused(tiny_model: Path, threads: int) -> None:
    with pytest.raises(InputError, match=f"threads is {threads}"):
        Denoiser(tiny_model, device="cpu", threads=threads)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_cpu_without_the_instructions_computes_in_float32_and_says_so(
    precision: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(onednn, "has_bfloat16", lambda: False)
    with caplog.at_level(logging.INFO):
        assert choose_precision(precision, CPU) == torch.float32
    assert f"no fast instructions for {precision}" in caplog.text


@pytest.mark.parametrize(("device", "dtype"), [("cuda", torch.float16), ("cpu", torch.float32), ("mps", torch.float32)])
def test_automatic_precision_is_half_on_cuda_only(device: str, dtype: torch.dtype) -> None:
    assert choose_precision("auto", torch.device(device)) == dtype
