"""The weight at which the perceptual loss pulls at an image as hard as the squared error does."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from LDCTDenoiseLib.ct.hu import DEFAULT_SCALE
from LDCTDenoiseLib.models.cascade import Cascade
from LDCTDenoiseLib.training.config import DataConfig
from LDCTDenoiseLib.training.losses.perceptual import PerceptualLoss
from LDCTDenoiseLib.training.patches.batches import PatchBatches
from LDCTDenoiseLib.training.patches.cases import Case

BATCHES = 8


def weight_on_the_mse_scale(
    cascade: Cascade, perceptual: PerceptualLoss, cases: Sequence[Case], data: DataConfig, batches: int = BATCHES
) -> float:
    """Ratio of the norms of both losses' gradients in the results of a network that was trained by the MSE alone.

    The paper's weight, 0.1, is for an input scale that it does not give. Gradients are taken in the image, not in the weights:
    at the end of a training by the MSE the latter nearly vanish.

    Args:
        cascade: of one level.
        perceptual: the loss.
        cases: training patients.
        data: how patches are made.
        batches: to average over.

    Returns:
        Rounded to two digits.
    """
    squares = [0.0, 0.0]
    for batch in PatchBatches(cases, data, halo=0, batches=batches, seed=[1, 0, 2**30]):
        images = batch.images()
        with torch.no_grad():
            result = cascade(DEFAULT_SCALE.to_unit(images.low))
        for number, loss in enumerate((_squared, perceptual)):
            hu = (DEFAULT_SCALE.to_hu_difference(result) - DEFAULT_SCALE.offset).requires_grad_()
            (gradient,) = torch.autograd.grad(loss(hu, images.full).mean(), hu)
            squares[number] += float(gradient.square().sum())
    return float(f"{math.sqrt(squares[0] / squares[1]):.2g}")


def _squared(hu: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
    return ((hu - full) / DEFAULT_SCALE.width).square().mean(dim=(1, 2, 3))
