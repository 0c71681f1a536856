"""A model as an ONNX file, for programs that have no PyTorch: HU in, HU out."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..ct.hu import HUScale, finish_hu
from ..errors import ModelError
from ..models.cascade import Cascade
from ..models.model_file import load_model
from ..simulation.phantom import make_phantom
from ..system.extras import require_extra
from ..system.files import replace_when_complete
from .engine import Denoiser

OPSET = 18
TOLERANCE_HU = 0.1
INPUT, OUTPUT = "hu", "denoised_hu"


class HUCascade(nn.Module):
    """A cascade with the HU rules of the engine: (batch, 1, rows, columns) float32 HU to the same, padding unchanged."""

    def __init__(self, cascade: Cascade, scale: HUScale) -> None:
        super().__init__()
        self.cascade = cascade
        self.scale = scale

    def forward(self, hu: torch.Tensor) -> torch.Tensor:
        """Denoised HU, of (batch, 1, rows, columns) float32 in HU."""
        unit = self.scale.to_unit(hu)
        return finish_hu(hu, self.scale.to_hu_difference(self.cascade(unit) - unit))


def export_onnx(model: str | os.PathLike[str], target: Path, *, overwrite: bool = True) -> float:
    """Write a model as ONNX (opset 18; batch, rows and columns of any size), whole or not at all.

    The file is run with onnxruntime on two sizes before it gets its name.

    Args:
        model: a shipped model's name, or a model file.
        target: the ONNX file; one input ``hu`` and one output ``denoised_hu``, both (batch, 1, rows, columns) float32.
        overwrite: replace a file that is there by then.

    Returns:
        The largest difference from the engine that was found, HU.

    Raises:
        ModelError: the model is missing or damaged, or the ONNX file does not give what the engine gives.
        MissingExtraError: the ``onnx`` extra is not installed.
        OutputError: the file cannot be written, or one is there by then and ``overwrite`` is false.
    """
    with require_extra("onnx"):
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    cascade, info = load_model(model)
    batch, rows, columns = (torch.export.Dim(name, min=1) for name in ("batch", "rows", "columns"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # notes of the exporter about itself, and about torchvision, which nothing here needs
        logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
        program = torch.onnx.export(
            HUCascade(cascade, info.scale).eval(),
            (torch.zeros(2, 1, 96, 80),),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamic_shapes=({0: batch, 2: rows, 3: columns},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # it is None only without dynamo
    proto = program.model_proto
    proto.doc_string = f"LDCTDenoise model {info.name}, sha256 {info.model_hash}. For research, not for diagnosis."
    with replace_when_complete(target, ".onnx", overwrite=overwrite) as temporary:
        onnx.save_model(proto, temporary)
        onnx.checker.check_model(str(temporary))
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        difference = _difference_from_engine(session, Denoiser(model, "cpu", "float32"))
        if difference > TOLERANCE_HU:
            raise ModelError(
                f"The ONNX file of {info.name} differs from the engine by {difference:.2g} HU and was not kept; "
                "try other versions of torch and onnxscript."
            )
    return difference


def _difference_from_engine(session: object, denoiser: Denoiser) -> float:
    """Largest difference in HU on slices of the phantom with noise, with padding, air below the range and metal."""
    largest = 0.0
    for slices, size in ((1, 128), (2, 101)):
        hu = make_phantom(slices, size).truth + np.random.default_rng(0).normal(0, 30, (slices, size, size)).astype(np.float32)
        hu[:, :8, :8] = -2000
        hu[:, 60:64, 60:64] = 8000
        (found,) = session.run([OUTPUT], {INPUT: hu[:, None].astype(np.float32)})  # type: ignore[attr-defined]
        largest = max(largest, float(np.abs(found[:, 0] - denoiser(hu)).max()))
    return largest
