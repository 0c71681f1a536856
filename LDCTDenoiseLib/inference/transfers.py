"""Batches to the device and back; on CUDA both copies overlap with the computation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch

_AS_THEY_ARE = {
    (kind, size): dtype for kind, size, dtype in (("b", 1, "bool"), ("i", 1, "int8"), ("u", 1, "uint8"), ("i", 2, "int16"))
}


def travels_as(dtype: np.dtype) -> torch.dtype:
    """The type in which voxels go to the device: CT's small integers and masks as they are, everything else as float32."""
    return getattr(torch, _AS_THEY_ARE.get((dtype.kind, dtype.itemsize), "float32"))


def compute_batches(
    batches: Iterable[Sequence[np.ndarray]],
    compute: Callable[..., torch.Tensor],
    device: torch.device,
    size: int,
) -> Iterator[np.ndarray]:
    """Apply ``compute`` on a device to batches, in order, and yield the results.

    Args:
        batches: arrays whose first axis runs through the slices, any layout.
        compute: tensors, one for each of a batch's arrays, to one tensor of as many slices.
        device: where.
        size: slices in a whole batch. On CUDA a last, smaller batch is filled up: another shape would have to be prepared anew.
    """
    if device.type == "cuda":
        yield from _compute_overlapped(batches, compute, device, size)
        return
    for batch in batches:
        yield compute(*(_packed(array, len(array), pinned=False).to(device) for array in batch)).cpu().numpy()


def _packed(array: np.ndarray, size: int, *, pinned: bool) -> torch.Tensor:
    """A contiguous copy with ``size`` slices, of which the ones beyond the array's are zero."""
    packed = torch.empty((size, *array.shape[1:]), dtype=travels_as(array.dtype), pin_memory=pinned)
    packed.numpy()[: len(array)] = array
    packed[len(array) :] = 0
    return packed


def _compute_overlapped(
    batches: Iterable[Sequence[np.ndarray]], compute: Callable[..., torch.Tensor], device: torch.device, size: int
) -> Iterator[np.ndarray]:
    """Two batches in flight: while one computes, the next is uploaded and the last one downloaded.

    Page-locked memory comes from PyTorch's own store, which hands the same blocks out again and again.
    """
    main, upload, download = torch.cuda.current_stream(device), torch.cuda.Stream(device), torch.cuda.Stream(device)
    in_flight: deque[tuple[torch.Tensor, torch.cuda.Event, int]] = deque()
    for batch in batches:
        pinned = [_packed(array, size, pinned=True) for array in batch]
        with torch.cuda.stream(upload):
            tensors = [one.to(device, non_blocking=True) for one in pinned]
        main.wait_stream(upload)
        for one in tensors:
            one.record_stream(main)
        result = compute(*tensors)
        download.wait_stream(main)
        host = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
        with torch.cuda.stream(download):
            host.copy_(result, non_blocking=True)
            result.record_stream(download)
            done = download.record_event()
        in_flight.append((host, done, len(batch[0])))
        if len(in_flight) == 2:
            yield _wait(*in_flight.popleft())
    while in_flight:
        yield _wait(*in_flight.popleft())


def _wait(host: torch.Tensor, done: torch.cuda.Event, slices: int) -> np.ndarray:
    done.synchronize()
    return host[:slices].numpy()
