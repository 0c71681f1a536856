"""A computation on CUDA recorded once for each shape and then replayed: one launch instead of one for every step."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

import torch

log = logging.getLogger(__name__)

_KEPT = 2
"""Recordings that are kept, each with its own memory: a volume's, and a single slice's for a preview."""
_WARM_UP = 2

Computation = Callable[..., torch.Tensor]
Recording = tuple[torch.cuda.CUDAGraph, list[torch.Tensor], torch.Tensor]
"""The graph, the places that it reads, and the place that it writes."""


class Replayed:
    """A function of tensors, replayed where it can be recorded and called as it is where it cannot.

    Args:
        function: of a setting and CUDA tensors, whose effects beside its result are sums in place.
    """

    def __init__(self, function: Computation) -> None:
        self._function = function
        self._recordings: OrderedDict[object, Recording] = OrderedDict()
        self._can_record = True

    def __call__(self, setting: int, *inputs: torch.Tensor) -> torch.Tensor:
        """The function's result. It is recorded anew for another setting, or for other shapes or types of the inputs."""
        if not self._can_record:
            return self._function(setting, *inputs)
        shape = (setting, *((tuple(one.shape), one.dtype) for one in inputs))
        if shape not in self._recordings:
            while len(self._recordings) >= _KEPT:
                self._recordings.popitem(last=False)
            try:
                self._recordings[shape] = self._record(setting, inputs)
            except torch.cuda.OutOfMemoryError:
                self.forget()
                raise
            except RuntimeError as error:
                log.info("No CUDA graph can be recorded (%s); going on without.", error)
                self._can_record = False
                self.forget()
                return self._function(setting, *inputs)
        self._recordings.move_to_end(shape)
        graph, places, result = self._recordings[shape]
        for place, one in zip(places, inputs, strict=True):
            place.copy_(one)
        graph.replay()
        return result.clone()  # the next replay writes over it

    def forget(self) -> None:
        """Give the recordings' memory back."""
        self._recordings.clear()
        torch.cuda.empty_cache()

    def _record(self, setting: int, inputs: tuple[torch.Tensor, ...]) -> Recording:
        places = [one.clone() for one in inputs]
        # Outside the recording: cuDNN measures which of its kernels is fastest.
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                self._function(setting, *places)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = self._function(setting, *places)
        return graph, places, result
