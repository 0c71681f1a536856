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
from LDCTDenoiseLib.inference.backends import Backend, build, cudnn, onednn, openvino
from LDCTDenoiseLib.inference.backends.plain import PlainNetwork
from LDCTDenoiseLib.inference.backends.taps import convolve_to_one_channel
from LDCTDenoiseLib.models.networks import NETWORKS, DenoisingNetwork, build_network, initialise
from LDCTDenoiseLib.models.networks.folding import folded
from Testing.conftest import random_statistics

CPU = torch.device("cpu")
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


def plain(network: DenoisingNetwork) -> nn.Module:
    return PlainNetwork(network, CPU, torch.float32)


def one_dnn(network: DenoisingNetwork) -> nn.Module:
    if not onednn.is_usable():
        pytest.skip("this PyTorch has no oneDNN for this CPU")
    return onednn.OneDNNNetwork(network, torch.float32, onednn.Memory())


def open_vino(network: DenoisingNetwork) -> nn.Module:
    if not openvino.is_installed():
        pytest.skip("the extra openvino is not installed")
    return openvino.OpenVINONetwork(network)


@pytest.mark.parametrize("make", [plain, one_dnn, open_vino])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_backend_gives_what_the_network_gives(name: str, make: Callable[[DenoisingNetwork], nn.Module]) -> None:
    network = network_with_weights(name)
    backend = make(network)
    with torch.inference_mode():
        # Twice with another size between: a result must not lie in memory that the next one uses.
        for size in [(40, 41), (7, 33), (40, 41), (1, 1)]:
            x = torch.rand(2, CHANNELS[name], *size)
            found = backend(x)
            backend(torch.rand(2, CHANNELS[name], *size))
            torch.testing.assert_close(found, network(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("transposed", [False, True])
def test_folded_batch_norm_gives_the_same_result(transposed: bool) -> None:
    torch.manual_seed(0)
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer, norm = kind(3, 5, 3).double().eval(), nn.BatchNorm2d(5, eps=0.1).double().eval()
    random_statistics(norm)
    x = torch.rand(2, 3, 9, 8, dtype=torch.float64)
    apply = F.conv_transpose2d if transposed else F.conv2d
    torch.testing.assert_close(apply(x, *folded(layer, norm)), norm(layer(x)))


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
    if not onednn.is_usable():
        pytest.skip("this PyTorch has no oneDNN for this CPU")
    memory = onednn.Memory()
    networks = [onednn.OneDNNNetwork(network_with_weights("drl"), torch.float32, memory) for _ in range(3)]
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        networks[0](x)
        blocks = {block.data_ptr() for block in memory.free}
        for network in networks:
            network(x)
    assert {block.data_ptr() for block in memory.free} == blocks
    assert sum(block.numel() for block in memory.free) == 4 * 64 * 64 * 64 * 4, "DRL needs four sets of 64 float32 maps"


def test_memory_is_free_again_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    if not onednn.is_usable():
        pytest.skip("this PyTorch has no oneDNN for this CPU")
    memory = onednn.Memory()
    network = onednn.OneDNNNetwork(network_with_weights("drl"), torch.float32, memory)
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
        (network,) = build([network_with_weights("drl")], Backend.TORCH, CPU, torch.float32)
        assert type(network) is PlainNetwork
    finally:
        onednn.is_usable.cache_clear()


@pytest.mark.skipif(not openvino.is_installed(), reason="the extra openvino is not installed")
def test_openvino_tells_nobody_that_it_was_imported() -> None:
    # Its telemetry would fork a process that sends; and what sends is a class of the package that must not be there.
    program = (
        "import os, sys\n"
        "def refuse(): raise AssertionError('a process was forked')\n"
        "os.fork = refuse\n"
        "from LDCTDenoiseLib.inference.backends import openvino\n"
        "openvino.load()\n"
        "from openvino.tools.ovc import telemetry\n"
        "print(type(telemetry).__module__)\n"
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("openvino.tools.ovc.telemetry_stub\n", 0), done.stderr


def test_a_missing_openvino_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"ldctdenoise\[openvino\]"):
        openvino.load()


def test_cudnns_calls_are_not_used_where_they_fail() -> None:
    assert not cudnn.is_usable(CPU, torch.float32)


@pytest.mark.parametrize("asked", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NETWORKS)
def test_layers_that_carry_the_absolute_hu_are_not_rounded(name: str, asked: torch.dtype) -> None:
    steps = network_with_weights(name).convolutions()
    on_cpu = [one.precision(asked, CPU) for one in steps]
    on_gpu = [one.precision(asked, torch.device("cuda")) for one in steps]
    assert on_cpu[0] == on_cpu[-1] == on_gpu[0] == on_gpu[-1] == torch.float32
    if name == "wgan-vgg":  # without a shortcut, every layer carries them
        assert {*on_cpu, *on_gpu} == {torch.float32}
        return
    bears_it = name != "wgan-vgg"  # it has no shortcut, so that every layer carries the absolute HU
    assert (asked in on_gpu) == (bears_it or asked == torch.float32)
    if asked == torch.bfloat16:
        assert torch.float16 not in on_cpu
        assert (torch.float16 in on_gpu) == bears_it
