"""A convolution to one channel, as a matrix product and a sum of shifted planes.

Libraries compute at least eight or sixteen output channels: for one channel they do as much work as for those. Here a matrix
product makes one plane for each of the kernel's taps, and the planes are added, each shifted by its tap's place.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch


def convolve_to_one_channel(
    sources: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], bias: torch.Tensor, padding: int
) -> torch.Tensor:
    """The sum of the sources' convolutions with kernels of one output channel.

    Args:
        sources: (batch, channels, rows, columns) each, channels-last.
        weights: (1, channels, size, size) for each of them.
        bias: (1,).
        padding: zeros around the sources, px, from 0 to size - 1.

    Returns:
        (batch, 1, rows + 2 * padding - size + 1, columns + 2 * padding - size + 1).
    """
    batch, _, rows, columns = sources[0].shape
    size = weights[0].shape[-1]
    planes = sources[0].new_empty(0)
    for number, (source, weight) in enumerate(zip(sources, weights, strict=True)):
        taps = weight[0].permute(1, 2, 0).reshape(size * size, -1)
        pixels = source.permute(0, 2, 3, 1).reshape(batch, rows * columns, -1).transpose(1, 2)
        if number == 0:
            planes = torch.matmul(taps, pixels)
        else:
            planes.baddbmm_(taps.expand(batch, -1, -1), pixels)
    planes = planes.view(batch, size, size, rows, columns)
    result = bias.expand(batch, rows + 2 * padding - size + 1, columns + 2 * padding - size + 1).clone()
    for down in range(size):
        put_rows, from_rows = _overlap(result.shape[1], rows, down - padding)
        for across in range(size):
            put_columns, from_columns = _overlap(result.shape[2], columns, across - padding)
            result[:, put_rows, put_columns] += planes[:, down, across, from_rows, from_columns]
    return result[:, None]


def _overlap(length: int, available: int, shift: int) -> tuple[slice, slice]:
    """Where position ``i + shift`` of a plane exists for position ``i`` of the result: places there, and in the plane."""
    start, stop = max(0, -shift), min(length, available - shift)
    stop = max(start, stop)
    return slice(start, stop), slice(start + shift, stop + shift)
