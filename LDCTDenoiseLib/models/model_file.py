"""Model files: a trained cascade as one safetensors file whose metadata says what it is (``model_info.py``).

The tensors are those of ``Cascade.state_dict()``: ``networks.``, the level's number, and the names of the level's architecture.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import ModelError
from ..system.files import replace_when_complete
from ..system.pytorch import require_torch
from ..version import __version__
from .architectures.architecture import Tensor
from .convolution import Convolution, convolutions
from .level import Level
from .model_info import FORMAT_VERSION, METADATA_KEY, SUFFIX, ModelInfo, find_model, read_info

if TYPE_CHECKING:  # it brings torch
    from .cascade import Cascade


@dataclass(frozen=True, eq=False)
class Model:
    """A model file's content.

    Attributes:
        info: what the file says of itself.
        tensors: by their names in the file.
    """

    info: ModelInfo
    tensors: Mapping[str, np.ndarray]

    def convolutions(self, index: int) -> list[Convolution]:
        """What the network of level ``index`` (zero-based) does."""
        prefix = _prefix(index)
        own = {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}
        return convolutions(self.info.levels[index].architecture, own)


def tensor_hash(tensors: Mapping[str, np.ndarray]) -> str:
    """sha256 over names, types, shapes and bytes of the tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} torch.{tensor.dtype} {tensor.shape}\n".encode())  # types by PyTorch's names
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def save_model(cascade: Cascade, info: ModelInfo, path: str | os.PathLike[str], *, overwrite: bool = True) -> ModelInfo:
    """Write a cascade as a model file, whole or not at all.

    Returns:
        The info as written, with its hashes.

    Raises:
        OutputError: it cannot be written, or is there and ``overwrite`` is false.
    """
    target = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in cascade.state_dict().items()}
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
    with replace_when_complete(target, SUFFIX, overwrite=overwrite) as temporary:
        save_file(tensors, temporary, {METADATA_KEY: json.dumps(record)})
    return read_info(target)


def read_model(name_or_file: str | os.PathLike[str] = "default") -> Model:
    """Read a shipped model by name, or any model file by path; needs no PyTorch.

    Raises:
        ModelError: no such model, or the file is truncated, changed or foreign.
    """
    path = find_model(name_or_file)
    info = read_info(path)
    try:
        expected = _expected_tensors(info.levels)
    except ValueError as error:  # a network that this version does not know
        raise ModelError(f"{path.name} has a description that cannot be understood ({error})") from error
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            found = {key: Tensor(one.get_dtype(), tuple(one.get_shape())) for key, one in slices.items()}
            # Before any tensor is loaded: a stranger's file may hold any number of any size.
            if found != expected:
                raise ModelError(f"The tensors of {path.name} do not fit the networks that it names; get it again.")
            tensors = {key: file.get_tensor(key) for key in found}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path.name} is damaged ({error}); get it again.") from error
    if tensor_hash(tensors) != info.tensor_hash:
        raise ModelError(f"The tensors of {path.name} do not match its hash: the file was changed or damaged; get it again.")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ModelError(f"The tensors of {path.name} hold NaN or infinite numbers, which denoise nothing; train it again.")
    return Model(info, tensors)


def load_model(name_or_file: str | os.PathLike[str] = "default") -> tuple[Cascade, ModelInfo]:
    """Load a shipped model by name, or any model file by path, as a PyTorch module.

    Examples:
        >>> from LDCTDenoiseLib import load_model
        >>> cascade, info = load_model("default")
        >>> [level.network for level in info.levels]
        ['drl', 'drl-difference']

    Returns:
        The cascade in evaluation mode, on the CPU, and the model's description.

    Raises:
        ModelError: as :func:`read_model`.
        MissingTorchError: PyTorch is not installed.
    """
    model = read_model(name_or_file)
    require_torch()
    import torch

    from .cascade import Cascade

    cascade = Cascade(model.info.levels)
    cascade.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in model.tensors.items()})
    return cascade.eval().requires_grad_(False), model.info


def _prefix(index: int) -> str:
    return f"networks.{index}."


def _expected_tensors(levels: tuple[Level, ...]) -> dict[str, Tensor]:
    return {
        f"{_prefix(index)}{name}": tensor
        for index, level in enumerate(levels)
        for name, tensor in level.architecture.tensors().items()
    }
