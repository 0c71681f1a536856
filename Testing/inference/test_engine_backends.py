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
from LDCTDenoiseLib.errors import InputError, MissingTorchError
from LDCTDenoiseLib.inference.backends import Backend, choose_backend, choose_precision, onednn, openvino
from LDCTDenoiseLib.models.architectures.architecture import Precision
from LDCTDenoiseLib.simulation.phantom import make_phantom
from LDCTDenoiseLib.system import pytorch
from LDCTDenoiseLib.system.devices import CPU, Device
from LDCTDenoiseLib.volumes.volume_file import read_volume

REAL = (
    "abdomen_CRLM-CT-1004",
    "abdpelvis_TCGA-OV_09-2043",
    "chest_LIDC-IDRI-0001",
    "chestabd_CPTAC-PDA_C3N-00249",
    "head_CPTAC-LSCC_C3N-04457_neurocranium",
    "neck_TCGA-THCA_E3-A3E5_larynx",
)
WITH_OPENVINO = pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")
WITH_BFLOAT16 = pytest.mark.skipif(
    not (onednn.has_bfloat16() and onednn.is_usable()), reason="this CPU has no instructions for bfloat16"
)
BFLOAT16_HU = 0.5
FASTER = [
    pytest.param({"backend": "openvino"}, 0.001, 0.0001, id="openvino", marks=WITH_OPENVINO),
    pytest.param({"precision": "bfloat16"}, BFLOAT16_HU, 0.05, id="bfloat16", marks=WITH_BFLOAT16),
    pytest.param(
        {"backend": "openvino", "precision": "bfloat16"},
        BFLOAT16_HU,
        0.05,
        id="openvino-bfloat16",
        marks=pytest.mark.skipif(not openvino.has_bfloat16(), reason="OpenVINO has no bfloat16 on this CPU"),
    ),
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


def noisy() -> np.ndarray:
    return np.random.default_rng(0).normal(40, 60, (1, 40, 48)).astype(np.float32)


def test_threads_are_as_many_as_asked_and_only_while_pytorch_computes(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    denoiser = Denoiser(tiny_model, device="cpu", backend="torch", threads=3)
    seen: list[int] = []
    predict = denoiser._computer.predict  # type: ignore[attr-defined]
    monkeypatch.setattr(denoiser._computer, "predict", lambda x: seen.append(torch.get_num_threads()) or predict(x))
    result = denoiser(noisy())
    assert seen == [3]
    assert torch.get_num_threads() == before
    np.testing.assert_allclose(result, Denoiser(tiny_model, device="cpu", backend="torch")(noisy()), atol=2e-3)


@WITH_OPENVINO
def test_openvino_computes_with_as_many_threads_as_asked(tiny_model: Path) -> None:
    denoiser = Denoiser(tiny_model, device="cpu", backend="openvino", threads=1)
    result = denoiser(noisy())
    for network in denoiser._computer.networks:  # type: ignore[attr-defined]
        compiled = network._sections[0]._request.get_compiled_model()
        assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    np.testing.assert_allclose(result, Denoiser(tiny_model, device="cpu", backend="openvino")(noisy()), atol=2e-3)


@pytest.mark.parametrize("backend", ["torch", pytest.param("openvino", marks=WITH_OPENVINO)])
def test_only_the_levels_that_are_used_are_prepared(tiny_model: Path, backend: str) -> None:
    def networks(levels: int | None) -> int:
        return len(Denoiser(tiny_model, device="cpu", backend=backend, levels=levels)._computer.networks)  # type: ignore[attr-defined]

    assert (networks(1), networks(None)) == (1, 2)


@pytest.mark.parametrize(
    ("device", "precision", "installed", "chosen"),
    [
        ("cpu", "auto", True, Backend.OPENVINO),
        ("cpu", "float32", True, Backend.OPENVINO),
        ("cpu", "float32", False, Backend.TORCH),
        ("cpu", "bfloat16", True, Backend.TORCH),
        ("cuda", "float16", True, Backend.TORCH),
        ("mps", "float32", True, Backend.TORCH),
    ],
)
def test_auto_takes_openvino_on_the_cpu_where_it_is_installed(
    device: str, precision: str, installed: bool, chosen: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "is_installed", lambda: installed)
    assert choose_backend("auto", Device(device), precision) is chosen
    assert choose_backend("torch", Device(device), precision) is Backend.TORCH


def test_without_pytorch_openvino_computes_in_bfloat16_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch, "is_installed", lambda: False)
    monkeypatch.setattr(openvino, "is_installed", lambda: True)
    assert choose_backend("auto", CPU, "bfloat16") is Backend.OPENVINO
    with pytest.raises(MissingTorchError, match="PyTorch is not installed"):
        choose_backend("torch", CPU, "float32")


def test_without_any_backend_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch, "is_installed", lambda: False)
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    with pytest.raises(MissingTorchError, match=r"PyTorch is not installed\. Neither is OpenVINO: pip install openvino"):
        choose_backend("auto", CPU, "auto")


def test_openvino_is_refused_where_it_cannot_compute() -> None:
    with pytest.raises(InputError, match="on the CPU"):
        choose_backend("openvino", Device("cuda", 0), "float32")


def test_an_unknown_backend_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no backend 'tensorrt'.*auto, torch, openvino"):
        choose_backend("tensorrt", CPU, "auto")


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_refused(tiny_model: Path, threads: int) -> None:
    with pytest.raises(InputError, match=f"threads is {threads}"):
        Denoiser(tiny_model, device="cpu", threads=threads)


@pytest.mark.parametrize("backend", [Backend.TORCH, Backend.OPENVINO])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_cpu_without_the_instructions_computes_in_float32_and_says_so(
    precision: str, backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(onednn, "has_bfloat16", lambda: False)
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: False)
    with caplog.at_level(logging.INFO):
        assert choose_precision(precision, CPU, backend) is Precision.FLOAT32
    assert f"no fast instructions for {precision}" in caplog.text


@pytest.mark.parametrize(
    ("device", "precision"), [("cuda", Precision.FLOAT16), ("cpu", Precision.FLOAT32), ("mps", Precision.FLOAT32)]
)
def test_automatic_precision_is_half_on_cuda_only(device: str, precision: Precision) -> None:
    assert choose_precision("auto", Device(device), Backend.TORCH) is precision
