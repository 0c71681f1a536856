"""What a model is for, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from LDCTDenoiseLib.models.model_info import ModelInfo


def modelText(info: ModelInfo) -> str:
    """Purpose, levels and training of a model."""
    told: str = _("{purpose} Levels: {levels}.").format(purpose=info.purpose, levels=len(info.levels))
    patients = info.training.get("patients")
    if patients:
        told += " " + _("Patients in its training: {count} ({data}).").format(count=patients["train"], data=info.training["data"])
    return told
