"""The description in a model file, and the list of models; read without torch, for lists and panels.

A model file is a safetensors file with one JSON text under the key ``ldctdenoise`` of its header's metadata.
Reading never executes anything from the file.

Format 2 records the model's hash, over everything that its results follow from: networks, scale and tensors. A file of format 1
records the tensors' alone. Its model hash is made when it is read, so a changed description shows as another hash; in format 2 it
is refused. The same model has the same hash in both.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..ct.hu import DEFAULT_SCALE, HUScale
from ..errors import ModelError
from ..system.argument_types import check_type
from ..system.named_files import named_or_file
from ..version import __version__
from .level import Level

FORMAT_VERSION = 2
_READABLE = (1, FORMAT_VERSION)
METADATA_KEY = "ldctdenoise"
SUFFIX = ".safetensors"
SHIPPED_FOLDER = Path(__file__).parent / "shipped"
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
        tensor_hash: sha256 of the tensors.
    """

    name: str
    levels: tuple[Level, ...]
    scale: HUScale = DEFAULT_SCALE
    purpose: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    software_version: str = __version__
    tensor_hash: str = ""

    @property
    def model_hash(self) -> str:
        """sha256 of all that a result follows from: levels, scale and tensors."""
        told = {
            "levels": [level.as_metadata() for level in self.levels],
            "scale": {name: float(value) for name, value in self.scale.as_metadata().items()},
            "tensor_hash": self.tensor_hash,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_info(path: str | os.PathLike[str]) -> ModelInfo:
    """What a model file says of itself, without loading its tensors.

    Raises:
        ModelError: missing, truncated, or not a model file of this project.
    """
    source = Path(path)
    metadata = _read_header(source).get("__metadata__") or {}
    try:
        if METADATA_KEY not in metadata:
            raise ModelError(f"{source.name} is a safetensors file of another program, not an LDCTDenoise model.")
        record = json.loads(metadata[METADATA_KEY])
        version = record["format_version"]
        if version not in _READABLE:
            raise ModelError(
                f"{source.name} has model format {version}, and this version reads {_READABLE[0]} to {_READABLE[-1]}; "
                "update ldctdenoise."
            )
        levels = tuple(Level.from_metadata(level) for level in record["levels"])
        if not 1 <= len(levels) <= _MAX_LEVELS:
            raise ValueError("levels")
        scale = HUScale(float(record["scale"]["offset"]), float(record["scale"]["width"]))
        if not (0 < scale.width < float("inf") and abs(scale.offset) < float("inf")):
            raise ValueError("scale")
        info = ModelInfo(
            name=source.name.removesuffix(SUFFIX),
            levels=levels,
            scale=scale,
            purpose=str(record["purpose"]),
            training=dict(record["training"]),
            metrics=dict(record["metrics"]),
            software_version=str(record["software_version"]),
            tensor_hash=str(record["tensor_hash"]),
        )
        told = record["model_hash"] if version > 1 else info.model_hash
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ModelError(f"{source.name} has a description that cannot be understood ({error}); get it again.") from error
    if told != info.model_hash:
        raise ModelError(
            f"The description of {source.name} does not match its hash: the file was changed or damaged; get it again."
        )
    return info


def _read_header(source: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file, read as the format defines it: no reader is trusted with a hostile one."""
    try:
        size = source.stat().st_size
        with source.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            text = file.read(length) if 0 < length <= min(size - 8, _MAX_HEADER_BYTES) else b""
    except OSError as error:
        raise ModelError(f"The model file {source} cannot be read ({error.strerror}).") from error
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ModelError(f"{source.name} is truncated or not a safetensors file; get the model file again.")
    return header


def find_model(name_or_file: str | os.PathLike[str]) -> Path:
    """Path of a shipped model's file by its name, or the path itself when it is one.

    Raises:
        ModelError: neither a shipped model nor a file.
        InputError: it is neither text nor a path.
    """
    check_type(name_or_file, (str, os.PathLike), "model", "a shipped model's name or a file's path")
    shipped = {path.name.removesuffix(SUFFIX): path for path in shipped_models()}
    if path := named_or_file(name_or_file, shipped):
        return path
    raise ModelError(
        f"There is no model '{name_or_file}': it is neither a file nor a shipped model ({', '.join(shipped) or 'none'})."
    )


def shipped_models() -> list[Path]:
    """Files of the models that come with the package, by name."""
    return sorted(SHIPPED_FOLDER.glob(f"*{SUFFIX}"))
