"""A network by OpenVINO, on CPUs; in float32, whatever the processor could do faster and less exactly."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ...models.networks import DenoisingNetwork
from ...models.networks.convolution import INPUT
from ...models.networks.denoising_network import padded_to
from ...system.extras import require_extra

if TYPE_CHECKING:
    import openvino


def is_installed() -> bool:
    """Whether the extra is installed; does not import it."""
    return find_spec("openvino") is not None


def load() -> ModuleType:
    """OpenVINO, imported so that nobody is told.

    Its package reports every import to a statistics service on the internet, from a process that it forks. Where the part that
    does so cannot be imported, OpenVINO goes on without; here it cannot.

    Raises:
        MissingExtraError: it is not installed.
    """
    telemetry = "openvino_telemetry"
    blocked = telemetry not in sys.modules
    if blocked:
        sys.modules[telemetry] = None  # type: ignore[assignment]  # how Python marks what must not be imported
    try:
        with require_extra("openvino"):
            import openvino
    finally:
        if blocked:
            del sys.modules[telemetry]
    return openvino


class OpenVINONetwork(nn.Module):
    """A network as an OpenVINO model, compiled for the size of the images that come.

    Input and output: as the network's, float32, on the CPU.

    Args:
        network: not changed.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, network: DenoisingNetwork) -> None:
        super().__init__()
        self._smallest = network.smallest
        self._core = load().Core()
        self._model = _as_model(network)
        self._shape: tuple[int, ...] = ()
        self._threads = 0
        self._request: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = x.shape[-2:]
        image = padded_to(x, self._smallest).contiguous().numpy()
        # One size is kept: its feature maps take as much memory as all else.
        if self._request is None or image.shape != self._shape or torch.get_num_threads() != self._threads:
            self._compile(image.shape)
        self._request.infer([image], share_inputs=True)
        # A copy: the next image overwrites what belongs to the request.
        return torch.from_numpy(np.array(self._request.get_output_tensor().data))[..., :rows, :columns]

    def _compile(self, shape: tuple[int, ...]) -> None:
        threads = torch.get_num_threads()
        self._request = None  # frees its memory before the next one takes some
        self._model.reshape(list(shape))
        properties = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
        }
        self._request = self._core.compile_model(self._model, "CPU", properties).create_infer_request()
        self._shape, self._threads = shape, threads


def _as_model(network: DenoisingNetwork) -> openvino.Model:
    from openvino import Model, opset13

    steps = network.convolutions()
    first = steps[0].weights[steps[0].sources.index(INPUT)]
    image = opset13.parameter([-1, first.shape[1], -1, -1], np.float32)
    maps = {INPUT: image}
    for one in steps:
        source = maps[one.sources[0]] if len(one.sources) == 1 else opset13.concat([maps[name] for name in one.sources], 1)
        weight = torch.cat(list(one.weights), dim=1).contiguous().numpy()
        pads, dilations = [one.padding] * 2, [one.dilation] * 2
        result = opset13.convolution(source, opset13.constant(weight), [1, 1], pads, pads, dilations)
        result = opset13.add(result, opset13.constant(one.bias.view(1, -1, 1, 1).numpy()))
        if one.added is not None:
            result = opset13.add(result, maps[one.added])
        maps[one.result] = opset13.relu(result) if one.relu else result
    result = maps[steps[-1].result]
    if network.adds_input:
        channel = opset13.gather(image, opset13.constant(np.array([0])), opset13.constant(1))
        result = opset13.add(result, channel)
    return Model([result], [image])
