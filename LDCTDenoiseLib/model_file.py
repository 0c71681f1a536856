"""Model files: a trained cascade as one safetensors file whose metadata says what it is.

Layout: the tensors of ``Cascade.state_dict()``, and in the header one JSON text under the key ``ldctdenoise``. Reading
never executes anything from the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .cascade import Cascade, Level
from .errors import ModelError
from .files import replace_when_complete
from .hu import DEFAULT_SCALE, HUScale
from .networks import NETWORKS
from .version import __version__

FORMAT_VERSION = 1
METADATA_KEY = "ldctdenoise"
SUFFIX = ".safetensors"
SHIPPED_FOLDER = Path(__file__).parent / "models"
_MAX_HEADER_BYTES = 16 * 2**20
_MAX_LEVELS = 16


@dataclass(frozen=True)
class ModelInfo:
    """What a model file says of itself.

    Attributes:
        name: the file's name without suffix.
        levels: networks of the cascade and what each predicts and sees.
        scale: HU scaling that it was trained with.
        purpose: one line: what it is for.
        training: data, doses, steps, minutes, device, loss settings: how it was made.
        metrics: figures measured on the test patients.
        software_version: of this package when it was written.
        tensor_hash: sha256 of the tensor bytes.
    """

    name: str
    levels: tuple[Level, ...]
    scale: HUScale = DEFAULT_SCALE
    purpose: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    software_version: str = __version__
    tensor_hash: str = ""


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
        The info as written, with the hash.
    """
    target = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in cascade.state_dict().items()}
    record = {
        "format_version": FORMAT_VERSION,
        "levels": [level.as_metadata() for level in cascade.levels],
        "scale": info.scale.as_metadata(),
        "purpose": info.purpose,
        "training": info.training,
        "metrics": info.metrics,
        "software_version": __version__,
        "tensor_hash": tensor_hash(tensors),
    }
    with replace_when_complete(target, SUFFIX) as temporary:
        save_file(tensors, temporary, {METADATA_KEY: json.dumps(record)})
    return read_info(target)


def read_info(path: str | os.PathLike[str]) -> ModelInfo:
    """What a model file says of itself, without loading its tensors.

    Raises:
        ModelError: missing, truncated, or not a model file of this project.
    """
    source = Path(path)
    _check_header(source)
    try:
        with safe_open(source, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{source.name} is damaged or not a model file ({error}); get it again.") from error
    if METADATA_KEY not in metadata:
        raise ModelError(f"{source.name} is a safetensors file of another program, not an LDCTDenoise model.")
    try:
        record = json.loads(metadata[METADATA_KEY])
        version = record["format_version"]
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{source.name} has model format {version}, and this version reads {FORMAT_VERSION}; update ldctdenoise."
            )
        levels = tuple(Level.from_metadata(level) for level in record["levels"])
        if not 1 <= len(levels) <= _MAX_LEVELS or any(level.network not in NETWORKS for level in levels):
            raise ValueError("levels")
        scale = HUScale(float(record["scale"]["offset"]), float(record["scale"]["width"]))
        if not (0 < scale.width < float("inf") and abs(scale.offset) < float("inf")):
            raise ValueError("scale")
        return ModelInfo(
            name=source.name.removesuffix(SUFFIX),
            levels=levels,
            scale=scale,
            purpose=str(record["purpose"]),
            training=dict(record["training"]),
            metrics=dict(record["metrics"]),
            software_version=str(record["software_version"]),
            tensor_hash=str(record["tensor_hash"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{source.name} has a description that cannot be understood ({error}); get it again.") from error


def _check_header(source: Path) -> None:
    """Refuse what is plainly no safetensors file before any reader trusts its header."""
    try:
        size = source.stat().st_size
        with source.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ModelError(f"The model file {source} cannot be read ({error.strerror}).") from error
    header = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else 0
    if len(start) < 9 or start[8:9] != b"{" or not 0 < header <= min(size - 8, _MAX_HEADER_BYTES):
        raise ModelError(f"{source.name} is truncated or not a safetensors file; get the model file again.")


def load_model(name_or_file: str | os.PathLike[str] = "default") -> tuple[Cascade, ModelInfo]:
    """Load a shipped model by name, or any model file by path.

    Returns:
        The cascade in evaluation mode, on the CPU, and the model's description.

    Raises:
        ModelError: no such model, or the file is truncated, changed or foreign.
    """
    path = find_model(name_or_file)
    info = read_info(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path.name} is damaged ({error}); get it again.") from error
    if tensor_hash(tensors) != info.tensor_hash:
        raise ModelError(f"The tensors of {path.name} do not match its hash: the file was changed or damaged; get it again.")
    cascade = Cascade(info.levels)
    try:
        cascade.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"The tensors of {path.name} do not fit the networks that it names; get it again.") from error
    return cascade.eval().requires_grad_(False), info


def find_model(name_or_file: str | os.PathLike[str]) -> Path:
    """Path of a shipped model's file by its name, or the path itself when it is one.

    Raises:
        ModelError: neither a shipped model nor a file.
    """
    shipped = {path.name.removesuffix(SUFFIX): path for path in shipped_models()}
    if str(name_or_file) in shipped:
        return shipped[str(name_or_file)]
    path = Path(name_or_file)
    if path.is_file():
        return path
    raise ModelError(
        f"There is no model '{name_or_file}': it is neither a file nor a shipped model ({', '.join(shipped) or 'none'})."
    )


def shipped_models() -> list[Path]:
    """Files of the models that come with the package, by name."""
    return sorted(SHIPPED_FOLDER.glob(f"*{SUFFIX}"))
