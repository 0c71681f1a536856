"""What made a denoised volume: one record for DICOM headers, node attributes, JSON and the records of a batch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ..version import __version__
from .options import DenoisingOptions, Effect

_PREFIX, _SOFTWARE = "LDCTDenoise.", "Software"
SOFTWARE_FIELD = _PREFIX + _SOFTWARE
"""By which a volume file that this program made is known."""


@dataclass(frozen=True)
class Provenance:
    """What made a result.

    Attributes:
        model: name of the model.
        model_hash: sha256 of its levels, scale and tensors.
        options: as asked for, but ``levels`` as used.
        slices: half-open range that was denoised, in the order of the output; the others are copies.
        device: where it was computed, such as "cuda:0"; "" when it is not known.
        backend: what computed it; "" when it is not known.
        software: version of this package.
    """

    model: str
    model_hash: str
    options: DenoisingOptions
    slices: tuple[int, int]
    device: str = ""
    backend: str = ""
    software: str = __version__

    @property
    def levels(self) -> int:
        """Of the cascade, as used."""
        return self.options.levels or 0

    def as_fields(self) -> dict[str, str]:
        """The record as named texts, for the header of a volume file."""
        told = {
            _SOFTWARE: f"ldctdenoise {self.software}",
            "Model": self.model,
            "ModelHash": self.model_hash,
            "Levels": self.levels,
            "Blend": f"{self.options.blend:g}",
            "Slices": "{}:{}".format(*self.slices),
            **{name.capitalize(): value for name, value in self.further_options().items()},
        }
        return {_PREFIX + name: str(value) for name, value in told.items()}

    def further_options(self) -> dict[str, Any]:
        """Options beside levels and blend that changed the result: those that are not at their default."""
        defaults = {one.name: one.default for one in fields(DenoisingOptions)}
        told = self.options.with_effect(Effect.RESULT)
        return {name: value for name, value in told.items() if name not in ("levels", "blend") and value != defaults[name]}
