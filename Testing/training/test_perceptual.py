"""The perceptual loss and the VGG-16 features under it."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.training.losses.perceptual import PerceptualLoss, VGG16Features, load_vgg


@pytest.fixture(scope="module")
def features() -> VGG16Features:
    torch.manual_seed(0)
    network = VGG16Features()
    for convolution in network.features.values():
        torch.nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return network


@pytest.fixture(scope="module")
def weights(features: VGG16Features, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file({key: value.contiguous() for key, value in features.state_dict().items()}, path)
    return path


def test_features_come_from_the_last_convolution_of_each_block(features: VGG16Features) -> None:
    shapes = [tuple(f.shape) for f in features(torch.rand(2, 1, 32, 48))]
    assert shapes == [(2, 64, 32, 48), (2, 128, 16, 24), (2, 256, 8, 12), (2, 512, 4, 6)]
    assert list(features.features) == ["0", "2", "5", "7", "10", "12", "14", "17", "19", "21"]


def test_grey_images_are_repeated_and_normalised_like_imagenets(features: VGG16Features) -> None:
    image = torch.rand(1, 1, 8, 8)
    mean, sd = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image.expand(1, 3, 8, 8) - mean[:, None, None]) / sd[:, None, None]
    for name in ("0", "2"):
        layer = features.features[name]
        x = F.relu(F.conv2d(x, layer.weight, layer.bias, padding=1))
    torch.testing.assert_close(features(image)[0], x)


def test_loss_is_the_mean_over_each_block_summed_over_the_blocks(features: VGG16Features) -> None:
    image, reference = torch.rand(2, 1, 16, 16) * 400 - 160, torch.rand(2, 1, 16, 16) * 400 - 160
    loss = PerceptualLoss(features, (-160, 240))(image, reference)
    pairs = zip(features((image + 160) / 400), features((reference + 160) / 400), strict=True)
    expected = torch.stack([(f - e).square().flatten(1).mean(1) for f, e in pairs]).sum(0)
    torch.testing.assert_close(loss, expected)


def test_vgg_sees_nothing_outside_its_window(features: VGG16Features) -> None:
    loss = PerceptualLoss(features, (-160, 240))
    air, bone = torch.full((1, 1, 16, 16), -900.0), torch.full((1, 1, 16, 16), 600.0)
    assert loss(air, air - 100) == 0
    assert loss(bone, bone + 500) == 0
    assert loss(air, bone) > 0


def test_gradients_reach_the_image_and_not_the_features(features: VGG16Features) -> None:
    image = torch.zeros(1, 1, 16, 16, requires_grad=True)
    PerceptualLoss(features, (-160, 240))(image, torch.rand(1, 1, 16, 16) * 100).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in features.parameters())


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_fewer_blocks_can_be_compared(weights: Path, features: VGG16Features, blocks: int) -> None:
    image = torch.rand(1, 1, 16, 16)
    found = load_vgg(weights, blocks)(image)
    assert len(found) == blocks
    torch.testing.assert_close(found[-1], features(image)[blocks - 1])


def test_weights_that_are_not_vggs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not exist"):
        load_vgg(tmp_path / "missing.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match="not a safetensors file"):
        load_vgg(tmp_path / "text.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="lack torchvision's VGG-16 layers"):
        load_vgg(tmp_path / "other.safetensors")


def test_offline_without_weights_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(url: str, **options: object) -> None:
        assert options["check_hash"]
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    with pytest.raises(InputError, match=r"could not be fetched.*give a file of them"):
        load_vgg(None)


def test_the_shared_weights_are_torchvisions(shared: Path) -> None:
    path = shared / "weights" / "vgg16_features_to_relu4_3.safetensors"
    if not path.exists():
        pytest.skip(f"no VGG weights at {path}")
    first = load_vgg(path).features["0"].weight
    # conv1_1 of ImageNet's VGG-16: a known corner of torchvision's IMAGENET1K_V1.
    torch.testing.assert_close(first[0, 0, 0], torch.tensor([-0.5537, 0.1427, 0.5290]), atol=5e-4, rtol=0)
