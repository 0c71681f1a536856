"""A network by oneDNN, which PyTorch brings for CPUs: each step is one call that writes into memory that is there already.

PyTorch's own convolution asks the system for fresh memory every time. For a slice of 512 x 512 that is 64 MiB a step, and the
system's handing it out page by page costs a fifth of the computing time; bias and ReLU as steps of their own cost more. Both go
with the call that ``torch.compile`` uses for "convolution, plus what is there, then ReLU" in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch.nn import functional as F

from ...models.architectures.architecture import INPUT, Architecture, Precision, count_uses
from ...models.convolution import Convolution
from .plain import PlainNetwork


class OneDNNNetwork(PlainNetwork):
    """As :class:`PlainNetwork`, on a CPU for which :func:`is_usable`.

    Args:
        architecture: of the network.
        steps: its layers with their weights.
        precision: of the layers that bear it.
        memory: for the feature maps; networks that take turns share one.
    """

    def __init__(self, architecture: Architecture, steps: Sequence[Convolution], precision: Precision, memory: Memory) -> None:
        super().__init__(architecture, steps, torch.device("cpu"), precision)
        self._memory = memory
        for one, weights in zip(self._steps, self._weights, strict=True):
            if len(one.bias) > 1:
                weights[:] = [_pack(weight, one.padding, one.layer.dilation) for weight in weights]

    def _run(self, image: torch.Tensor) -> torch.Tensor:
        try:
            return self._run_in_memory(image)
        finally:
            self._memory.give_all_back()

    def _run_in_memory(self, image: torch.Tensor) -> torch.Tensor:
        maps: dict[tuple[str, torch.dtype], torch.Tensor] = {(INPUT, image.dtype): image}
        layers = [one.layer for one in self._steps]
        uses = count_uses(layers)

        def read(name: str, kind: torch.dtype) -> torch.Tensor:
            if (name, kind) not in maps:
                there = next(one for (known, _), one in maps.items() if known == name)
                maps[name, kind] = self._memory.take(there.shape, kind).copy_(there)
            return maps[name, kind]

        for number, layer in enumerate(layers):
            kind = self._types[number]
            sources = [read(name, kind) for name in layer.sources]
            added = None if layer.added is None else read(layer.added, kind)
            result = self._step(number, sources, added)
            maps[layer.result, kind] = result
            for name in layer.reads:
                uses[name] -= 1
                for key in [key for key in maps if key[0] == name and uses[name] == 0]:
                    self._memory.give_back(maps.pop(key))
        return maps[layers[-1].result, self._types[-1]]

    def _step(self, number: int, sources: Sequence[torch.Tensor], added: torch.Tensor | None) -> torch.Tensor:
        one, weights, bias = self._steps[number], self._weights[number], self._biases[number]
        if len(bias) == 1:
            return super()._step(number, sources, added)
        batch, _, rows, columns = sources[0].shape
        layer = one.layer
        grown = 2 * one.padding - layer.dilation * (layer.size - 1)
        result = self._memory.take((batch, len(bias), rows + grown, columns + grown), sources[0].dtype)
        start = bias.view(1, -1, 1, 1)
        result.copy_(start if added is None else added)
        extra = bias if added is not None else None
        for last, (source, weight) in enumerate(zip(sources, weights, strict=True), start=1 - len(sources)):
            activation = "relu" if layer.relu and last == 0 else None
            _add_convolution(result, source, weight, extra, one.padding, layer.dilation, activation)
            extra = None
        return result


class Memory:
    """Memory for feature maps, taken and given back, never returned to the system while the network lives."""

    def __init__(self) -> None:
        self.free: list[torch.Tensor] = []
        self._taken: dict[int, torch.Tensor] = {}

    def take(self, shape: Sequence[int], kind: torch.dtype) -> torch.Tensor:
        """A channels-last tensor of undefined content."""
        batch, channels, rows, columns = shape
        needed = batch * channels * rows * columns * kind.itemsize
        fitting = [block for block in self.free if block.numel() >= needed]
        if fitting:
            block = min(fitting, key=torch.numel)
            self.free = [one for one in self.free if one is not block]
        else:
            self.free = []  # they were for smaller images
            block = torch.empty(needed, dtype=torch.uint8)
        view = block[:needed].view(kind).view(batch, rows, columns, channels).permute(0, 3, 1, 2)
        self._taken[view.data_ptr()] = block
        return view

    def give_back(self, view: torch.Tensor) -> None:
        """What is no view of this memory is left alone."""
        block = self._taken.pop(view.data_ptr(), None)
        if block is not None:
            self.free.append(block)

    def give_all_back(self) -> None:
        self.free += self._taken.values()
        self._taken.clear()


def _pack(weight: torch.Tensor, padding: int, dilation: int) -> torch.Tensor:
    usual = [1, weight.shape[1], 512, 512]
    return torch.ops.mkldnn._reorder_convolution_weight(weight, [padding] * 2, [1, 1], [dilation] * 2, 1, usual)


def _add_convolution(
    result: torch.Tensor,
    source: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    padding: int,
    dilation: int,
    activation: str | None,
) -> None:
    torch.ops.mkldnn._convolution_pointwise_.binary(
        result, source, weight, bias, [padding] * 2, [1, 1], [dilation] * 2, 1, "add", 1.0, activation, [], None
    )


@lru_cache
def is_usable() -> bool:
    """Whether this PyTorch has the calls, and they do here what they should."""
    try:
        with torch.inference_mode():
            source = torch.linspace(-1, 1, 8 * 12 * 12).view(1, 12, 12, 8).permute(0, 3, 1, 2)
            weight = torch.linspace(-1, 1, 16 * 8 * 9).view(16, 8, 3, 3).contiguous(memory_format=torch.channels_last)
            result = torch.ones(1, 12, 12, 16).permute(0, 3, 1, 2)
            _add_convolution(result, source, _pack(weight, 2, 2), None, 2, 2, "relu")
            expected = F.relu(F.conv2d(source, weight, padding=2, dilation=2) + 1)
            return bool(torch.allclose(result, expected, atol=1e-4))
    except (AttributeError, RuntimeError):  # private calls, which may go or change
        return False


@lru_cache
def has_bfloat16() -> bool:
    """Whether this CPU has instructions for products of bfloat16 (AVX512-BF16 or AMX)."""
    ask = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch that is supported
    capabilities: dict[str, object] = ask() if ask else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
