"""Small discs of low contrast, by whose response a network is taught to keep them.

A disc is added to the low dose of a patch alone; what the network's result gains by it is compared with the disc itself
(``losses/lesion_response.py``). Squared error hardly rewards such signals: they are rare and smaller than the noise.
"""

from __future__ import annotations

import torch

from .inserts import between, coverage, log_between

PER_PATCH = 4
DRAWS = 6
"""Random numbers of a disc: kind, contrast, sign, radius, row, column; a patch has one more: sharpness."""
DRAWS_PER_PATCH = PER_PATCH * DRAWS + 1
KINDS = ((10.0, 6.0), (20.0, 4.0), (40.0, 2.5), (100.0, 1.2))
"""Contrast in HU and radius in mm: about what a reader can just make out, larger where fainter."""
SHARES = (0.0, 0.0, 0.25, 0.75)
"""How often each is drawn: a network that keeps the small ones keeps the others too (docs/results/frontier.md)."""
COARSE_MM = 0.75
COARSE_SHARES = (0.34, 0.33, 0.33, 0.0)
"""In pixels from ``COARSE_MM`` on, where the smallest is about one pixel, as noise is."""
CONTRAST_FACTOR = (0.67, 1.5)
RADIUS_FACTOR = (0.74, 1.35)
EDGE_SD_MM = (0.35, 0.7)
"""Of the Gaussian that blurs the borders."""
_MARGIN = 0.1
"""Share of the patch, without its halo, along its borders that has no disc's centre."""


def paint_lesions(draws: torch.Tensor, spacing: torch.Tensor, side: int, halo: int = 0) -> torch.Tensor:
    """Discs of both signs to add to patches.

    Args:
        draws: (patches, ``DRAWS_PER_PATCH``) in [0, 1).
        spacing: (patches,) pixel spacing in mm.
        side: of a patch in pixels, with its halo.
        halo: pixels on every side that the loss does not see, and where no centre is.

    Returns:
        (patches, 1, side, side), HU.
    """
    spacing = spacing[:, None, None, None]
    edge_sd = between(draws[:, -1:, None, None], EDGE_SD_MM) / spacing
    discs = draws[:, :-1].reshape(len(draws), PER_PATCH, DRAWS, 1, 1)
    kind, size, sign, wide, in_rows, in_columns = discs.unbind(2)
    contrasts, radii = draws.new_tensor(KINDS).unbind(1)
    fine, coarse = draws.new_tensor([SHARES, COARSE_SHARES]).cumsum(1)[:, :-1]
    chosen = (kind[..., None] >= torch.where(spacing[..., None] < COARSE_MM, fine, coarse)).sum(dim=-1)
    contrast = contrasts[chosen] * log_between(size, CONTRAST_FACTOR) * torch.where(sign < 0.5, -1.0, 1.0)
    radius = radii[chosen] * log_between(wide, RADIUS_FACTOR) / spacing
    margin = _MARGIN + (1 - 2 * _MARGIN) * halo / side
    inner = (margin, 1 - margin)
    centre = between(in_rows, inner), between(in_columns, inner)
    covered = coverage(side, centre, (radius, radius), torch.zeros_like(radius), edge_sd)
    return (contrast * covered).sum(dim=1, keepdim=True)
