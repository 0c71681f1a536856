"""Batches to the device and back; on CUDA both copies overlap with the computation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch


def compute_batches(
    batches: Iterable[np.ndarray], compute: Callable[[torch.Tensor], torch.Tensor], device: torch.device
) -> Iterator[np.ndarray]:
    """Apply ``compute`` on a device to float32 arrays, in order, and yield the results as float32 arrays."""
    if device.type == "cuda":
        yield from _compute_overlapped(batches, compute, device)
        return
    for batch in batches:
        yield compute(torch.from_numpy(batch).to(device)).cpu().numpy()


def _compute_overlapped(
    batches: Iterable[np.ndarray], compute: Callable[[torch.Tensor], torch.Tensor], device: torch.device
) -> Iterator[np.ndarray]:
    """Two batches in flight: while one computes, the next is uploaded and the last one downloaded."""
    main, upload, download = torch.cuda.current_stream(device), torch.cuda.Stream(device), torch.cuda.Stream(device)
    in_flight: deque[tuple[torch.Tensor, torch.cuda.Event]] = deque()
    for batch in batches:
        pinned = torch.from_numpy(batch).pin_memory()
        with torch.cuda.stream(upload):
            images = pinned.to(device, non_blocking=True)
        main.wait_stream(upload)
        images.record_stream(main)
        result = compute(images)
        download.wait_stream(main)
        host = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
        with torch.cuda.stream(download):
            host.copy_(result, non_blocking=True)
            result.record_stream(download)
            done = download.record_event()
        in_flight.append((host, done))
        if len(in_flight) == 2:
            yield _wait(in_flight.popleft())
    while in_flight:
        yield _wait(in_flight.popleft())


def _wait(flight: tuple[torch.Tensor, torch.cuda.Event]) -> np.ndarray:
    host, done = flight
    done.synchronize()
    return host.numpy()
