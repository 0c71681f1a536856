"""Ellipses of known contrast, added to both doses of a training patch.

A handful of patients shows few sharp edges and few small lesions in noise; a network that saw no others blurs those that it
meets. Inserted signals are the usual remedy where the truth must be known (Samei et al., AAPM TG 233, Med Phys
2019;46:e735, use them to judge); here they teach. Their borders have the point spread of smooth to sharp body kernels.
"""

from __future__ import annotations

import math

import torch

PER_PATCH = 3
"""Most ellipses in a patch."""
DRAWS = 8
"""Random numbers of an ellipse: present, contrast, sign, row, column, two radii, direction; a patch has one more: sharpness."""
DRAWS_PER_PATCH = PER_PATCH * DRAWS + 1
CONTRAST_HU = (10.0, 800.0)
RADIUS_PIXELS = (1.5, 32.0)
EDGE_SD_PIXELS = (0.55, 1.1)
"""Of the Gaussian that blurs the borders."""
_TINY = 1e-6


def paint_inserts(draws: torch.Tensor, chance: float, side: int) -> torch.Tensor:
    """What to add to patches.

    Contrast and radii are drawn log-uniformly, the rest uniformly.

    Args:
        draws: (patches, ``DRAWS_PER_PATCH``) in [0, 1).
        chance: of each of ``PER_PATCH`` ellipses to be there.
        side: of a patch in pixels.

    Returns:
        (patches, side, side), HU.
    """
    edge_sd = between(draws[:, -1:, None, None], EDGE_SD_PIXELS)
    ellipses = draws[:, :-1].reshape(len(draws), PER_PATCH, DRAWS, 1, 1)
    present, size, sign, in_rows, in_columns, first, second, turn = ellipses.unbind(2)
    contrast = log_between(size, CONTRAST_HU) * torch.where(sign < 0.5, -1.0, 1.0) * (present < chance)
    radii = log_between(first, RADIUS_PIXELS), log_between(second, RADIUS_PIXELS)
    covered = coverage(side, (in_rows, in_columns), radii, math.pi * turn, edge_sd)
    return (contrast * covered).sum(dim=1)


def coverage(
    side: int,
    centre: tuple[torch.Tensor, torch.Tensor],
    radii: tuple[torch.Tensor, torch.Tensor],
    turn: torch.Tensor,
    edge_sd: torch.Tensor,
) -> torch.Tensor:
    """How far ellipses cover the pixels of square patches: 1 inside, 0 outside, 0.5 on the border.

    Args:
        side: of a patch in pixels.
        centre: (row, column) as shares of the patch.
        radii: in pixels.
        turn: of the first radius from the columns' direction, in radians.
        edge_sd: of the Gaussian that blurs the border, in pixels.
        All end in two axes of length 1 and broadcast against each other.

    Returns:
        (..., side, side).
    """
    places = torch.arange(side, device=turn.device, dtype=torch.float32)
    rows, columns = places[:, None] - centre[0] * (side - 1), places[None, :] - centre[1] * (side - 1)
    cosine, sine = torch.cos(turn), torch.sin(turn)
    a, b = radii
    u, v = (cosine * columns + sine * rows) / a, (cosine * rows - sine * columns) / b
    # Distance to the border, to first order: the implicit function over its gradient's length.
    radius = torch.hypot(u, v).clamp(min=_TINY)
    distance = radius * (radius - 1) / torch.hypot(u / a, v / b).clamp(min=_TINY / RADIUS_PIXELS[1])
    return 0.5 * torch.erfc(distance / (math.sqrt(2) * edge_sd))


def between(share: torch.Tensor, limits: tuple[float, float]) -> torch.Tensor:
    """The value at a share of the way between two limits."""
    return limits[0] + share * (limits[1] - limits[0])


def log_between(share: torch.Tensor, limits: tuple[float, float]) -> torch.Tensor:
    """As :func:`between`, on a logarithmic scale."""
    return limits[0] * (limits[1] / limits[0]) ** share
