"""The engine on a CUDA GPU: same voxels as the CPU, whatever the batch and the memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.inference.backends import cudnn
from LDCTDenoiseLib.inference.backends.plain import PlainNetwork
from LDCTDenoiseLib.models.architectures.architecture import Precision
from LDCTDenoiseLib.models.convolution import convolutions
from LDCTDenoiseLib.simulation.phantom import make_phantom
from LDCTDenoiseLib.system.devices import Device
from LDCTDenoiseLib.volumes.volume_file import read_volume
from Testing.conftest import random_cascade

pytestmark = pytest.mark.cuda


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return make_phantom(7, 256).scan(0.25)


def test_float32_agrees_with_the_cpu(volume: np.ndarray) -> None:
    expected = Denoiser(device="cpu")(volume.astype(np.float32))
    found = Denoiser(device="cuda", precision="float32")(volume.astype(np.float32))
    assert np.abs(found - expected).max() < 0.05  # TF32, which would round the input to half a HU, is off


def assert_within_the_limits(volume: np.ndarray, precision: str) -> None:
    expected = Denoiser(device="cuda", precision="float32")(volume.astype(np.float32))
    difference = Denoiser(device="cuda", precision=precision)(volume.astype(np.float32)) - expected
    assert np.abs(difference).max() < 1
    assert np.abs(difference).mean() < 0.05
    assert abs(float(difference.mean())) < 0.01


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_reduced_precision_stays_within_the_limits_on_the_phantom(volume: np.ndarray, precision: str) -> None:
    assert_within_the_limits(volume, precision)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["abdpelvis_TCGA-OV_09-2043", "chestabd_CPTAC-PDA_C3N-00249"])
def test_reduced_precision_stays_within_the_limits_on_real_volumes(shared: Path, name: str, precision: str) -> None:
    assert_within_the_limits(read_volume(shared / f"data/train/{name}.nrrd").hu[::8], precision)


@pytest.mark.parametrize("precision", list(Precision))
def test_fused_calls_are_used_and_give_what_plain_ones_give(precision: Precision) -> None:
    device = torch.device("cuda:0")
    assert cudnn.is_usable(device, precision), "this GPU falls back to plain calls"
    network = random_cascade("B").network(0)
    steps = convolutions(network.architecture, {name: tensor.numpy() for name, tensor in network.state_dict().items()})
    x = torch.rand(2, 1, 64, 65, device=device)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        fused = cudnn.CuDNNNetwork(network.architecture, steps, device, precision)(x)
        plain = PlainNetwork(network.architecture, steps, device, precision)(x)
    torch.testing.assert_close(fused, plain, rtol=0, atol=0.5 / 4095)


def test_later_volumes_are_replayed_and_not_recorded_again(volume: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser = Denoiser(device="cuda", batch_size=3)
    recorded: list[object] = []
    record = denoiser._computer.replayed._record
    monkeypatch.setattr(denoiser._computer.replayed, "_record", lambda *what: recorded.append(what[0]) or record(*what))
    first = denoiser(volume)
    denoiser.blend = 0.5
    blended = denoiser(volume, padding_value=40)
    denoiser.blend = 1.0
    np.testing.assert_array_equal(denoiser(volume), first)
    assert len(recorded) == 1
    assert (blended != first).any()


def test_without_recording_the_result_is_the_same(volume: np.ndarray) -> None:
    expected = Denoiser(device="cuda")(volume)
    denoiser = Denoiser(device="cuda")
    denoiser._computer.replayed._can_record = False
    assert np.abs(denoiser(volume).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("padding", [None, 40, "mask"])
def test_int16_is_finished_on_the_device_as_on_the_host(volume: np.ndarray, padding: object) -> None:
    given_padding = volume == 41 if padding == "mask" else padding
    denoiser = Denoiser(device="cuda", batch_size=4)  # 7 slices: the last batch is filled up
    on_device = denoiser(volume, padding_value=given_padding)
    on_host = denoiser(volume.astype(np.int32), padding_value=given_padding)
    np.testing.assert_array_equal(on_device, on_host)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 16])
def test_overlapped_transfers_keep_the_slices_in_order(volume: np.ndarray, batch_size: int) -> None:
    expected = Denoiser(device="cuda", batch_size=1, precision="float32")(volume.astype(np.float32))
    found = Denoiser(device="cuda", batch_size=batch_size, precision="float32")(volume.astype(np.float32))
    assert np.abs(found - expected).max() < 0.5


def test_little_memory_is_enough(volume: np.ndarray) -> None:
    expected = Denoiser(device="cuda", precision="float32")(volume)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.5 * 2**30 / total)
    try:
        found = Denoiser(device="cuda", precision="float32", batch_size=7)(volume)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_device_by_number(tiny_model: Path) -> None:
    assert Denoiser(tiny_model, device="cuda:0").device == Device("cuda", 0)
