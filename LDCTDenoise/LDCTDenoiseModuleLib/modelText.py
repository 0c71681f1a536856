"""What a model is for, in a line."""

from slicer.i18n import tr as _


def modelText(info):
    """Purpose, levels and training of a model."""
    told = _("{purpose} {levels} level(s).").format(purpose=info.purpose, levels=len(info.levels))
    patients = info.training.get("patients")
    if patients:
        told += " " + _("Trained on {count} patient(s): {data}.").format(count=patients["train"], data=info.training["data"])
    return told
