"""Networks: sizes, receptive fields, parameter counts, folding."""

from __future__ import annotations

import pytest
import torch

from LDCTDenoiseLib.models.networks import NETWORKS, build_network, count_parameters, initialise
from LDCTDenoiseLib.models.networks.denoising_network import DenoisingNetwork
from Testing.conftest import random_cascade, random_statistics

CHANNELS = {name: 2 if name == "cnn10-wu" else 1 for name in NETWORKS}


def network_with_weights(name: str) -> DenoisingNetwork:
    torch.manual_seed(0)
    network = build_network(name)
    initialise(network)
    torch.nn.init.normal_(network.last_layer.weight, std=0.01)
    random_statistics(network)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("drl", 225_601),
        ("drl-difference", 225_601),
        ("drl-edge", 232_001),
        ("cnn10", 335_873),
        ("cnn10-wu", 336_449),
        ("redcnn", 1_848_865),
        ("wgan-vgg", 56_097),
    ],
)
def test_parameters_are_as_many_as_the_papers_count(name: str, count: int) -> None:
    assert count_parameters(build_network(name)) == count


@pytest.mark.parametrize("name", NETWORKS)
def test_the_described_tensors_are_those_of_the_module(name: str) -> None:
    kinds = {torch.float32: "F32", torch.int64: "I64"}
    found = {key: (kinds[one.dtype], tuple(one.shape)) for key, one in build_network(name).state_dict().items()}
    assert found == {key: (one.kind, one.shape) for key, one in NETWORKS[name].tensors().items()}


def test_modules_are_registered_in_the_order_of_earlier_checkpoints() -> None:
    def first(name: str) -> list[str]:
        return [key.rpartition(".")[0] for key, _ in build_network(name).named_parameters() if key.endswith("weight")]

    assert first("drl") == [*(f"c{i}" for i in range(1, 8)), *(f"bn{i}" for i in range(2, 7))]
    assert first("cnn10")[:4] == ["first", "middle.0", "middle.1", "middle.3"]
    assert first("cnn10")[-1] == "last"
    assert first("redcnn") == [*(f"encoder.{i}" for i in range(5)), *(f"decoder.{i}" for i in range(5))]


def test_difference_form_of_drl_only_leaves_out_the_input() -> None:
    image, difference = build_network("drl").eval(), build_network("drl-difference").eval()
    difference.load_state_dict(image.state_dict())
    x = torch.rand(1, 1, 20, 20)
    torch.testing.assert_close(image(x), difference(x) + x)


@pytest.mark.parametrize(
    ("name", "side"), [("drl", 35), ("drl-difference", 35), ("drl-edge", 37), ("cnn10", 23), ("redcnn", 41), ("wgan-vgg", 17)]
)
def test_receptive_field_by_impulse(name: str, side: int) -> None:
    network = network_with_weights(name).double()
    x = torch.rand(1, 1, 61, 61, dtype=torch.float64, requires_grad=True)
    network(x)[0, 0, 30, 30].backward()
    touched = x.grad[0, 0].abs() > 0
    rows, columns = touched.any(dim=1).nonzero(), touched.any(dim=0).nonzero()
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (side, side)
    assert network.radius == side // 2


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (7, 33), (64, 64), (129, 65)])
def test_any_size_comes_out_in_the_same_size(name: str, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        assert network_with_weights(name)(torch.rand(2, CHANNELS[name], *size)).shape == (2, 1, *size)


def test_a_slice_of_512_by_512_comes_out_whole() -> None:
    with torch.inference_mode():
        result = network_with_weights("drl")(torch.rand(1, 1, 512, 512))
    assert result.shape == (1, 1, 512, 512)
    assert torch.isfinite(result).all()


def test_training_starts_at_the_identity() -> None:
    torch.manual_seed(0)
    image, difference = build_network("drl"), build_network("drl-difference")
    initialise(image)
    initialise(difference)
    x = torch.rand(1, 1, 30, 30)
    torch.testing.assert_close(image.eval()(x), x)
    assert difference.eval()(x).abs().max() == 0


def test_edge_layer_is_blind_to_flat_images_and_sees_every_direction() -> None:
    network = build_network("drl-edge")
    seen: list[torch.Tensor] = []
    network.get_submodule("c1").register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    ramp = torch.arange(9.0)
    images = {
        "flat": torch.ones(9, 9),
        "along columns": ramp.expand(9, 9),
        "along rows": ramp[:, None].expand(9, 9),
        "falling diagonal": ramp[:, None] + ramp,
        "rising diagonal": ramp[:, None] - ramp,
    }
    strongest = {}
    for name, image in images.items():
        network(image[None, None])
        middle = seen[-1][0, 1:, 4, 4].abs()
        strongest[name] = int(middle.argmax()) if middle.max() > 0 else None
    assert strongest.pop("flat") is None
    assert len(set(strongest.values())) == 4, strongest
    assert not any("kernels" in key for key in network.state_dict())


def test_layers_that_touch_hu_stay_in_float32_under_autocast() -> None:
    network = random_cascade("B").network(0)
    x = torch.full((1, 1, 40, 40), 1064 / 4095) + torch.arange(40) / 4095  # 40 to 79 HU in steps of 1
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        result = network(x)
    with torch.inference_mode():
        expected = network(x)
    assert result.dtype == torch.float32
    # bfloat16 has steps of 8 HU here: rounding the input, or the sum with it, would show as steps of 8.
    assert ((result - expected).abs() * 4095).max() < 2


def test_an_unknown_network_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unet.*drl, drl-difference"):
        build_network("unet")


def test_cnn10_has_eleven_convolutions() -> None:
    assert sum(isinstance(module, torch.nn.Conv2d) for module in build_network("cnn10").modules()) == 11
