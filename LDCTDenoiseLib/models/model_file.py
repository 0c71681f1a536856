"""Model files: a trained cascade as one safetensors file whose metadata says what it is (``model_info.py``).

The tensors are those of ``Cascade.state_dict()``.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import ModelError
from ..system.files import replace_when_complete
from ..version import __version__
from .cascade import Cascade
from .model_info import FORMAT_VERSION, METADATA_KEY, SUFFIX, ModelInfo, find_model, read_info

_TYPES = {torch.float32: "F32", torch.int64: "I64"}
"""Types of a cascade's tensors by their names in safetensors."""


def tensor_hash(tensors: dict[str, torch.Tensor]) -> str:
    """sha256 over names, types, shapes and bytes of the tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_model(cascade: Cascade, info: ModelInfo, path: str | os.PathLike[str]) -> ModelInfo:
    """Write a cascade as a model file, whole or not at all.

    Returns:
        The info as written, with its hashes.
    """
    target = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in cascade.state_dict().items()}
    written = replace(info, levels=cascade.levels, tensor_hash=tensor_hash(tensors))
    record = {
        "format_version": FORMAT_VERSION,
        "levels": [level.as_metadata() for level in written.levels],
        "scale": written.scale.as_metadata(),
        "purpose": info.purpose,
        "training": info.training,
        "metrics": info.metrics,
        "software_version": __version__,
        "tensor_hash": written.tensor_hash,
        "model_hash": written.model_hash,
    }
    with replace_when_complete(target, SUFFIX) as temporary:
        save_file(tensors, temporary, {METADATA_KEY: json.dumps(record)})
    return read_info(target)


def load_model(name_or_file: str | os.PathLike[str] = "default") -> tuple[Cascade, ModelInfo]:
    """Load a shipped model by name, or any model file by path.

    Examples:
        >>> from LDCTDenoiseLib import load_model
        >>> cascade, info = load_model("default")
        >>> [level.network for level in info.levels]
        ['drl', 'drl-difference']

    Returns:
        The cascade in evaluation mode, on the CPU, and the model's description.

    Raises:
        ModelError: no such model, or the file is truncated, changed or foreign.
    """
    path = find_model(name_or_file)
    info = read_info(path)
    try:
        cascade = Cascade(info.levels)
    except ValueError as error:  # a network that this version does not know
        raise ModelError(f"{path.name} has a description that cannot be understood ({error})") from error
    try:
        with safe_open(path, framework="pt") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            found = {key: (one.get_dtype(), tuple(one.get_shape())) for key, one in slices.items()}
            # Before any tensor is loaded: a stranger's file may hold any number of any size.
            if found != {key: (_TYPES[one.dtype], tuple(one.shape)) for key, one in cascade.state_dict().items()}:
                raise ModelError(f"The tensors of {path.name} do not fit the networks that it names; get it again.")
            tensors = {key: file.get_tensor(key) for key in found}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path.name} is damaged ({error}); get it again.") from error
    if tensor_hash(tensors) != info.tensor_hash:
        raise ModelError(f"The tensors of {path.name} do not match its hash: the file was changed or damaged; get it again.")
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise ModelError(f"The tensors of {path.name} hold NaN or infinite numbers, which denoise nothing; train it again.")
    cascade.load_state_dict(tensors)
    return cascade.eval().requires_grad_(False), info
