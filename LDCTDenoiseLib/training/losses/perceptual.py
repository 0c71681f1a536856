"""VGG-16 features and the perceptual loss made of them."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from ...errors import InputError
from ...models.networks.layers import channels_last

TORCHVISION_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
# Channels of the convolutions in each block; a block ends with the features that the loss compares.
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))
# torchvision numbers convolutions among ReLUs and pools.
_NUMBERS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21))
_MEAN = (0.485, 0.456, 0.406)
_SD = (0.229, 0.224, 0.225)


class VGG16Features(nn.Module):
    """The first blocks of VGG-16 trained on ImageNet, frozen.

    Input: (batch, 1, rows, columns) grey images in [0, 1]; the channel is repeated three times and normalised.
    Output: a list of (batch, channels, rows / 2^i, columns / 2^i), after the ReLU of the last convolution of each block
    (conv1_2, conv2_2, conv3_3, conv4_3).

    Args:
        blocks: how many blocks, 1 to 4.

    Reference: Simonyan and Zisserman, arXiv 1409.1556.
    """

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        self.features = nn.ModuleDict()
        channels = 3
        for widths, numbers in zip(_BLOCKS[:blocks], _NUMBERS[:blocks], strict=True):
            for width, number in zip(widths, numbers, strict=True):
                self.features[str(number)] = nn.Conv2d(channels, width, 3, padding=1)
                channels = width
        self.blocks = _NUMBERS[:blocks]
        self.mean: torch.Tensor
        self.sd: torch.Tensor
        self.register_buffer("mean", torch.tensor(_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(_SD).reshape(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        channels_last(self)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        x = ((image - self.mean) / self.sd).contiguous(memory_format=torch.channels_last)
        outputs = []
        for index, numbers in enumerate(self.blocks):
            if index:
                x = F.max_pool2d(x, 2)
            for number in numbers:
                x = F.relu(self.features[str(number)](x))
            outputs.append(x)
        return outputs


def load_vgg(weights: str | os.PathLike[str] | None, blocks: int = 4) -> VGG16Features:
    """VGG-16 features with torchvision's IMAGENET1K_V1 weights.

    Args:
        weights: a safetensors file with torchvision's keys, or None to fetch torchvision's published file (hash checked).
        blocks: how many blocks.

    Raises:
        InputError: the file is missing or wrong, or the weights cannot be fetched.
    """
    network = VGG16Features(blocks)
    if weights is None:
        try:
            published = torch.hub.load_state_dict_from_url(TORCHVISION_URL, check_hash=True, weights_only=True)
        except (OSError, RuntimeError) as error:
            raise InputError(
                f"VGG-16's weights could not be fetched from {TORCHVISION_URL} ({error}); "
                "give a file of them, or set perceptual: 0."
            ) from error
    else:
        if not Path(weights).is_file():
            raise InputError(f"The VGG weights {weights} do not exist; give a safetensors file with torchvision's keys.")
        try:
            published = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise InputError(f"The VGG weights {weights} are not a safetensors file: {error}.") from error
    wanted = network.state_dict()
    try:
        network.load_state_dict({key: published[key] for key in wanted})
    except (KeyError, RuntimeError) as error:
        raise InputError(f"The VGG weights lack torchvision's VGG-16 layers: {error}.") from error
    return network


class PerceptualLoss(nn.Module):
    """L_P: squared feature difference of two images, a mean over each block's features, summed over the blocks.

    Input: two (batch, 1, rows, columns) images in HU. Output: (batch,), one value per image.

    Args:
        features: frozen VGG-16.
        window: (low, high) HU shown to VGG as [0, 1].

    References: Ataei et al., arXiv 2006.14738; Johnson et al., arXiv 1603.08155.
    """

    def __init__(self, features: VGG16Features, window: tuple[float, float]) -> None:
        super().__init__()
        self.features = features
        self.low, self.high = window

    def forward(self, image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        found = self.features(self._shown(image))
        with torch.no_grad():
            expected = self.features(self._shown(reference))
        return sum((f.float() - e.float()).square().mean(dim=(1, 2, 3)) for f, e in zip(found, expected, strict=True))

    def _shown(self, hu: torch.Tensor) -> torch.Tensor:
        return ((hu - self.low) / (self.high - self.low)).clamp(0, 1)
