"""A network by OpenVINO, on CPUs, as arrays; needs no PyTorch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.architectures.architecture import INPUT, Architecture, Precision
from ...models.convolution import Convolution
from ...system import extras

if TYPE_CHECKING:
    import openvino


RESULT = "result"
"""Name of what the network gives, among the names of feature maps."""


def is_installed() -> bool:
    """Whether it is there; does not import it."""
    return extras.is_installed("openvino")


def load() -> ModuleType:
    """Import OpenVINO without its telemetry.

    Its package reports every import to a statistics service on the internet, from a process that it forks. Where the part that
    does so cannot be imported, OpenVINO goes on without; here it cannot.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ.setdefault("HWLOC_HIDE_ERRORS", "2")  # its threads complain on stderr where /sys is not mounted
    telemetry = "openvino_telemetry"
    blocked = telemetry not in sys.modules
    if blocked:
        sys.modules[telemetry] = None  # type: ignore[assignment]  # how Python marks what must not be imported
    try:
        with extras.require_package("openvino"):
            import openvino
    finally:
        if blocked:
            del sys.modules[telemetry]
    return openvino


@lru_cache
def has_bfloat16() -> bool:
    """Whether OpenVINO computes products of bfloat16 with this CPU's own instructions."""
    return is_installed() and "BF16" in load().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINONetwork:
    """A network as OpenVINO models, compiled for the size of the images that come.

    OpenVINO computes a whole model in one precision, so each run of layers that share one is a model of its own: in float32 the
    network is one model.

    Called with (batch, channels, rows, columns) float32, network units; gives (batch, 1, rows, columns) float32.

    Args:
        architecture: of the network.
        steps: its layers with their weights.
        precision: of the layers that bear it.
        threads: of the CPU; None leaves OpenVINO's number.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(
        self, architecture: Architecture, steps: Sequence[Convolution], precision: Precision, threads: int | None = None
    ) -> None:
        self._smallest = architecture.smallest
        self._sections = _sections(architecture, steps, precision, threads)
        self._shape: tuple[int, ...] = ()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        rows, columns = x.shape[-2:]
        missing = [max(0, self._smallest - side) for side in (rows, columns)]
        image = np.pad(x, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1]))) if any(missing) else np.ascontiguousarray(x)
        if image.shape != self._shape:
            # One size is kept: its feature maps take as much memory as all else.
            for section in self._sections:
                section.forget()
            self._shape = image.shape
        maps = {INPUT: image}
        for section in self._sections:
            maps |= section.compute(maps)
        # A copy: the next image overwrites what belongs to the request.
        return np.array(maps[RESULT][..., :rows, :columns])


class _Section:
    """Consecutive layers in one precision."""

    def __init__(self, model: openvino.Model, inputs: list[str], outputs: list[str], properties: dict[str, str]) -> None:
        self._model = model
        self._inputs = inputs
        self._outputs = outputs
        self._properties = properties
        self._core = load().Core()
        self._request: Any = None

    def forget(self) -> None:
        self._request = None

    def compute(self, maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        seen = [maps[name] for name in self._inputs]
        if self._request is None:
            self._model.reshape({number: list(one.shape) for number, one in enumerate(seen)})
            self._request = self._core.compile_model(self._model, "CPU", self._properties).create_infer_request()
        self._request.infer(seen, share_inputs=True)
        return {name: self._request.get_output_tensor(number).data for number, name in enumerate(self._outputs)}


def _sections(
    architecture: Architecture, steps: Sequence[Convolution], precision: Precision, threads: int | None
) -> list[_Section]:
    def computed_in(one: Convolution) -> Precision:
        return one.layer.precision(precision, has_float16=False)

    runs = [(kind, list(run)) for kind, run in groupby(steps, computed_in)]
    found, before = [], {INPUT: architecture.input_channels}
    for number, (kind, run) in enumerate(runs):
        last = number == len(runs) - 1
        read = {name for one in run for name in one.layer.reads} | ({INPUT} if last and architecture.adds_input else set())
        read_later = {name for _, later in runs[number + 1 :] for one in later for name in one.layer.reads}
        inputs = {name: channels for name, channels in before.items() if name in read}
        outputs = [RESULT] if last else [one.layer.result for one in run if one.layer.result in read_later]
        model = _as_model(run, inputs, outputs, adds_input=last and architecture.adds_input)
        properties = {
            "INFERENCE_PRECISION_HINT": "bf16" if kind is Precision.BFLOAT16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
        }
        if threads is not None:
            properties["INFERENCE_NUM_THREADS"] = str(threads)
        found.append(_Section(model, list(inputs), outputs, properties))
        before |= {one.layer.result: one.layer.filters for one in run}
    return found


def _as_model(
    steps: Sequence[Convolution], inputs: dict[str, int], outputs: Sequence[str], *, adds_input: bool
) -> openvino.Model:
    load()  # the one import of the package
    from openvino import Model, opset13

    parameters = {name: opset13.parameter([-1, channels, -1, -1], np.float32) for name, channels in inputs.items()}
    maps = dict(parameters)
    for one in steps:
        layer = one.layer
        source = maps[layer.sources[0]]
        if len(layer.sources) > 1:
            source = opset13.concat([maps[name] for name in layer.sources], 1)
        weight = np.concatenate(one.weights, axis=1)
        pads, dilations = [one.padding] * 2, [layer.dilation] * 2
        result = opset13.convolution(source, opset13.constant(weight), [1, 1], pads, pads, dilations)
        result = opset13.add(result, opset13.constant(one.bias[:, None, None]))
        if layer.added is not None:
            result = opset13.add(result, maps[layer.added])
        maps[layer.result] = opset13.relu(result) if layer.relu else result
    maps[RESULT] = maps[steps[-1].layer.result]
    if adds_input:
        channel = opset13.gather(maps[INPUT], opset13.constant(np.array([0])), opset13.constant(1))
        maps[RESULT] = opset13.add(maps[RESULT], channel)
    return Model([maps[name] for name in outputs], list(parameters.values()))
