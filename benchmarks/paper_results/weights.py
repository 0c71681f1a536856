"""Weights of finished parts, small: convolutions as float16, batch norm's statistics as float32.

All but RED-CNN's, of 3.7 MB a part, lie in the repository.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.models.cascade import Cascade
from LDCTDenoiseLib.models.level import Level
from LDCTDenoiseLib.models.model_file import load_model, save_model
from LDCTDenoiseLib.models.model_info import ModelInfo
from LDCTDenoiseLib.system.files import replace_when_complete

FOLDER = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"
_KEY = "part"


def weights_file(folder: Path, part: str) -> Path:
    """Where a part's weights are."""
    return folder / f"{part}{SUFFIX}"


def export(model: Path, index: int, record: Mapping[str, Any], path: Path) -> None:
    """Write one level of a trained model as a part.

    Args:
        model: file of the whole cascade.
        index: zero-based level.
        record: what to tell of the training; the level itself is added.
        path: file to write, whole or not at all.
    """
    cascade, _ = load_model(model)
    tensors = {
        name: (tensor.half() if tensor.ndim > 1 else tensor).contiguous()
        for name, tensor in cascade.network(index).state_dict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"level": cascade.levels[index].as_metadata(), **record})
    with replace_when_complete(path, SUFFIX) as temporary:
        save_file(tensors, temporary, {_KEY: text})


def read_record(path: Path) -> dict[str, Any]:
    """What a part's file tells of its training.

    Raises:
        InputError: it is no such file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads((file.metadata() or {})[_KEY]))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is damaged or not a part's weights; get it again, or remove it and the figures of its systems to train anew."
        ) from error


def assemble(parts: Sequence[Path], model: Path, purpose: str) -> ModelInfo:
    """Write a model file, float32, of parts that are its levels from first to last."""
    records = [read_record(path) for path in parts]
    cascade = Cascade([Level.from_metadata(record["level"]) for record in records])
    for index, path in enumerate(parts):
        own = cascade.network(index).state_dict()
        cascade.network(index).load_state_dict(
            {name: tensor.to(own[name].dtype) for name, tensor in load_file(path, device="cpu").items()}
        )
    training = {"parts": records, "steps": [record["steps"] for record in records]}
    model.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        return save_model(cascade, ModelInfo(model.stem, cascade.levels, purpose=purpose, training=training), model)
