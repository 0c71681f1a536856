"""Backends: whatever computes a network, the result is the network's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from LDCTDenoiseLib.errors import MissingExtraError
from LDCTDenoiseLib.inference.backends import cudnn, onednn, openvino
from LDCTDenoiseLib.inference.backends.plain import PlainNetwork
from LDCTDenoiseLib.inference.backends.taps import convolve_to_one_channel
from LDCTDenoiseLib.inference.torch_computer import build
from LDCTDenoiseLib.models.architectures.architecture import INPUT, NORM_EPSILON, Architecture, Layer, Precision
from LDCTDenoiseLib.models.convolution import Convolution, convolutions
from LDCTDenoiseLib.models.networks import NETWORKS, DenoisingNetwork, build_network, initialise
from Testing.conftest import random_statistics

CPU = torch.device("cpu")
Apply = Callable[[torch.Tensor], torch.Tensor]
CHANNELS = {name: 2 if name == "cnn10-wu" else 1 for name in NETWORKS}


def network_with_weights(name: str) -> DenoisingNetwork:
    torch.manual_seed(0)
    network = build_network(name)
    initialise(network)
    nn.init.normal_(network.last_layer.weight, std=0.01)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.bias, std=0.1)
    random_statistics(network)
    return network.eval()


def steps_of(network: DenoisingNetwork) -> list[Convolution]:
    return convolutions(network.architecture, {name: tensor.numpy() for name, tensor in network.state_dict().items()})


def plain(network: DenoisingNetwork) -> Apply:
    return PlainNetwork(network.architecture, steps_of(network), CPU, Precision.FLOAT32)


def one_dnn(network: DenoisingNetwork, memory: onednn.Memory | None = None) -> Apply:
    if not onednn.is_usable():
        pytest.skip("this PyTorch has no oneDNN for this CPU")
    return onednn.OneDNNNetwork(network.architecture, steps_of(network), Precision.FLOAT32, memory or onednn.Memory())


def open_vino(network: DenoisingNetwork, precision: Precision = Precision.FLOAT32) -> Apply:
    if not openvino.is_installed():
        pytest.skip("openvino is not installed")
    compute = openvino.OpenVINONetwork(network.architecture, steps_of(network), precision)
    return lambda x: torch.from_numpy(compute(x.numpy()))


@pytest.mark.parametrize("make", [plain, one_dnn, open_vino])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_backend_gives_what_the_network_gives(name: str, make: Callable[[DenoisingNetwork], Apply]) -> None:
    network = network_with_weights(name)
    backend = make(network)
    with torch.inference_mode():
        # Twice with another size between: a result must not lie in memory that the next one uses.
        for size in [(40, 41), (7, 33), (40, 41), (1, 1)]:
            x = torch.rand(2, CHANNELS[name], *size)
            found = backend(x)
            backend(torch.rand(2, CHANNELS[name], *size))
            torch.testing.assert_close(found, network(x), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(not openvino.has_bfloat16(), reason="OpenVINO has no bfloat16 on this CPU")
@pytest.mark.parametrize("name", NETWORKS)
def test_openvino_in_bfloat16_is_near_and_not_the_same(name: str) -> None:
    network = network_with_weights(name)
    x = torch.rand(1, CHANNELS[name], 40, 41)
    with torch.inference_mode():
        exact = network(x)
        error = (open_vino(network, Precision.BFLOAT16)(x) - exact).abs().max() / exact.abs().max()
    assert error < 0.03
    assert (error > 1e-5) == (name != "wgan-vgg")  # all its layers stay in float32


@pytest.mark.parametrize("transposed", [False, True])
def test_folded_batch_norm_gives_the_same_result(transposed: bool) -> None:
    torch.manual_seed(0)
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer, norm = kind(3, 5, 3).eval(), nn.BatchNorm2d(5, eps=NORM_EPSILON).eval()
    random_statistics(norm)
    described = Architecture((Layer("y", (INPUT,), "c", 5, 3, padding=0, transposed=transposed, norm="n"),), 3)
    tensors = {
        f"{name}.{key}": one.numpy() for name, module in (("c", layer), ("n", norm)) for key, one in module.state_dict().items()
    }
    (step,) = convolutions(described, tensors)
    x = torch.rand(2, 3, 9, 8)
    folded = F.conv2d(x, torch.from_numpy(step.weights[0]), torch.from_numpy(step.bias), padding=step.padding)
    with torch.inference_mode():
        torch.testing.assert_close(folded, norm(layer(x)), rtol=1e-5, atol=1e-5)


@given(
    channels=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    size=st.sampled_from([1, 3, 5]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_one_channel_by_taps_is_the_convolution(
    channels: list[int], rows: int, columns: int, size: int, data: st.DataObject
) -> None:
    padding = data.draw(st.integers(max(0, size - min(rows, columns)), size - 1) if size > 1 else st.just(0))
    torch.manual_seed(1)
    sources = [torch.rand(2, n, rows, columns, dtype=torch.float64) for n in channels]
    weights = [torch.rand(1, n, size, size, dtype=torch.float64) for n in channels]
    bias = torch.rand(1, dtype=torch.float64)
    expected = F.conv2d(torch.cat(sources, 1), torch.cat(weights, 1), bias, padding=padding)
    torch.testing.assert_close(convolve_to_one_channel(sources, weights, bias, padding), expected)


def test_networks_that_take_turns_share_their_memory() -> None:
    memory = onednn.Memory()
    networks = [one_dnn(network_with_weights("drl"), memory) for _ in range(3)]
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        networks[0](x)
        blocks = {block.data_ptr() for block in memory.free}
        for network in networks:
            network(x)
    assert {block.data_ptr() for block in memory.free} == blocks
    assert sum(block.numel() for block in memory.free) == 4 * 64 * 64 * 64 * 4, "DRL needs four sets of 64 float32 maps"


def test_memory_is_free_again_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = onednn.Memory()
    network = one_dnn(network_with_weights("drl"), memory)
    x = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        expected = network(x)
        convolve, calls = onednn._add_convolution, []

        def fails_at_the_fourth(*arguments: object) -> None:
            calls.append(arguments)
            if len(calls) == 4:
                raise RuntimeError("out of memory")
            convolve(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(onednn, "_add_convolution", fails_at_the_fourth)
        with pytest.raises(RuntimeError, match="out of memory"):
            network(x)
        monkeypatch.undo()
        torch.testing.assert_close(network(x), expected, rtol=0, atol=0)
    assert len(memory.free) == 4


def test_without_one_dnns_calls_pytorchs_own_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*arguments: object) -> None:
        raise AttributeError("no such call")

    monkeypatch.setattr(onednn, "_add_convolution", gone)
    onednn.is_usable.cache_clear()
    try:
        assert not onednn.is_usable()
        drl = network_with_weights("drl")
        (network,) = build([(drl.architecture, steps_of(drl))], CPU, Precision.FLOAT32)
        assert type(network) is PlainNetwork
    finally:
        onednn.is_usable.cache_clear()


@pytest.mark.skipif(not openvino.is_installed(), reason="openvino is not installed")
def test_openvino_tells_nobody_that_it_was_imported() -> None:
    # Its telemetry would fork a process that sends; and what sends is a class of the package that must not be there.
    program = (
        "import os, sys\n"
        "def refuse(): raise AssertionError('a process was forked')\n"
        "os.fork = refuse\n"
        "import numpy as np\n"
        "from LDCTDenoiseLib import Denoiser\n"
        "Denoiser(device='cpu', backend='openvino', levels=1)(np.zeros((1, 32, 32), np.int16))\n"
        "from openvino.tools.ovc import telemetry\n"
        "print(type(telemetry).__module__)\n"
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("openvino.tools.ovc.telemetry_stub\n", 0), done.stderr


def test_a_missing_openvino_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert not openvino.is_installed()
    with pytest.raises(MissingExtraError, match="pip install openvino"):
        openvino.load()


def test_cudnns_calls_are_not_used_where_they_fail() -> None:
    assert not cudnn.is_usable(CPU, Precision.FLOAT32)


@pytest.mark.parametrize("asked", Precision)
@pytest.mark.parametrize("name", NETWORKS)
def test_layers_that_carry_the_absolute_hu_are_not_rounded(name: str, asked: Precision) -> None:
    layers = NETWORKS[name].layers
    on_cpu = [one.precision(asked, has_float16=False) for one in layers]
    on_gpu = [one.precision(asked, has_float16=True) for one in layers]
    assert on_cpu[0] is on_cpu[-1] is on_gpu[0] is on_gpu[-1] is Precision.FLOAT32
    if name == "wgan-vgg":  # without a shortcut, every layer carries them
        assert {*on_cpu, *on_gpu} == {Precision.FLOAT32}
        return
    assert asked in on_gpu
    if asked is Precision.BFLOAT16:
        assert Precision.FLOAT16 not in on_cpu
        assert Precision.FLOAT16 in on_gpu
