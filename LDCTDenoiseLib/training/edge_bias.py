"""Bias on steep edges: what a network does to them in the mean over many scans.

Least squared error trades sharpness for noise: a network unsure of where an edge runs draws it blurred. In the mean over
scans noise goes and blur stays, which is what a task transfer function measures (``evaluation/ttf.py``); the squared bias
counts the blur alone. Two scans whose noise is mirrored do for many: all that is odd in the noise cancels in their mean.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

STEEP_HU_PER_PIXEL = 50.0
"""Slope from which an edge counts, as it is found after smoothing: one of 200 HU at a body kernel has 53, one of 100 HU 27."""
_SMOOTH = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # SD of 1 pixel
_SLOPE = (-1 / 2, 0.0, 1 / 2)


def mirrored(full: torch.Tensor, low: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of both doses in HU, followed by the same with the noise's sign changed."""
    return torch.cat([full, full]), torch.cat([low, 2 * full - low])


def edge_bias(error: torch.Tensor, full: torch.Tensor) -> torch.Tensor:
    """Mean squared bias on the steep edges of each image, as a share of their steepness.

    Args:
        error: (2n, 1, rows, columns), what results have too much; the second half with mirrored noise.
        full: same shape, normal dose in HU.

    Returns:
        (2n,), in squared units of ``error``: the same for both halves.
    """
    first, second = error.chunk(2)
    weight = edge_share(full.chunk(2)[0])
    return (weight * ((first + second) / 2).square()).mean(dim=(1, 2, 3)).repeat(2)


def edge_share(images: torch.Tensor) -> torch.Tensor:
    """How much a pixel's squared bias counts: 0 in flat places, and the less the steeper the edge.

    With s the slope over ``STEEP_HU_PER_PIXEL``, the share is s^14 / (1 + s^18). The same blur gives an edge of twice the
    contrast four times the squared bias; a share that falls with s^4 makes up for that and leaves the noise of the strongest
    edges to the squared error, which keeps those sharp by itself. Edges of 100 HU are many, and noise near them would cost
    the most: they count hardly at all. Each pixel has the largest slope of its neighbours.

    Args:
        images: (batch, 1, rows, columns), HU.

    Returns:
        Same shape, below 1.
    """
    smooth, slope = (torch.tensor(taps, device=images.device, dtype=images.dtype) for taps in (_SMOOTH, _SLOPE))
    smoothed = F.pad(images, (3, 3, 3, 3), mode="replicate")
    for taps in (smooth[:, None], smooth[None, :]):
        smoothed = F.conv2d(smoothed, taps[None, None])
    down = F.conv2d(smoothed, slope[None, None, :, None])[..., 1:-1]
    across = F.conv2d(smoothed, slope[None, None, None, :])[..., 1:-1, :]
    steepest = F.max_pool2d(down.square() + across.square(), 3, 1, 1).sqrt() / STEEP_HU_PER_PIXEL
    return steepest**14 / (1 + steepest**18)
