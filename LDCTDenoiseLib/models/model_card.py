"""The human card beside a model file, written from what the file itself says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..system.files import replace_when_complete
from .model_info import ModelInfo

_LIMITS = """\
- For research. Not a medical device, not for diagnosis.
- Adult CT in HU, reconstructed slices about axial; other anatomies, children and other kernels were not tested.
- Trained on inserted noise: metal, motion and photon-starvation artefacts of a real scan are not its subject.
"""


def write_card(info: ModelInfo, path: Path, *, overwrite: bool = True) -> None:
    """Write the card (Markdown) of a model, whole or not at all.

    Raises:
        OutputError: it cannot be written, or is there and ``overwrite`` is false.
    """
    with replace_when_complete(path, ".md", overwrite=overwrite) as temporary:
        temporary.write_text(card_text(info), encoding="utf-8")


def card_text(info: ModelInfo) -> str:
    """The card as Markdown: purpose, levels, training, figures, limits."""
    parts = [
        f"# Model `{info.name}`\n\n{info.purpose}\n",
        f"- software: ldctdenoise {info.software_version}\n"
        f"- sha256 of the model (levels, scale and tensors): `{info.model_hash}`\n"
        f"- input: (HU + {info.scale.offset:g}) / {info.scale.width:g}, clamped to [0, 1]\n",
        "## Levels\n\n" + _table(["level", "network", "predicts", "sees"], _level_rows(info)),
    ]
    if info.training:
        parts.append("## Training\n\n" + _training_text(info.training))
    if info.metrics:
        parts.append("## Figures\n\n" + _metrics_text(info.metrics))
        if "phantom" in info.metrics:
            parts.append("## On the phantom\n\n" + _metrics_text(info.metrics["phantom"]))
    parts.append("## Limits\n\n" + _LIMITS)
    return "\n".join(parts)


def _level_rows(info: ModelInfo) -> list[list[str]]:
    return [[str(n), level.network, level.predicts.value, level.sees.value] for n, level in enumerate(info.levels, 1)]


def _training_text(training: dict[str, Any]) -> str:
    patients = training["patients"]
    lines = [
        f"- data: {training['data']}; {patients['train']} patients to train on, {patients['validate']} to validate",
        *([f"- sources: {sources}"] if (sources := training["config"].get("sources")) else []),
        f"- dose fractions: {training['dose_range'][0]:g} to {training['dose_range'][1]:g}",
        f"- device: {training['device']}",
    ]
    levels = training["config"]["levels"]
    # A model of an older version tells the precision that was asked for only.
    precisions = training.get("precision") or [level["precision"] for level in levels]
    for number, (level, steps, minutes, precision) in enumerate(
        zip(levels, training["steps"], training["minutes"], precisions, strict=True), 1
    ):
        if not steps:
            lines.append(f"- level {number}: kept from the model that the run started from")
            continue
        loss = level["loss"]
        terms = [f"{loss['mse']:g} * MSE"] if loss["mse"] else []
        if loss["perceptual"]:
            terms.append(
                f"{loss['perceptual']:g} * L_P (VGG-16, {loss['vgg_blocks']} blocks, window {loss['vgg_window']} HU, "
                f"from step {loss['perceptual_from_step']:,})"
            )
        if loss.get("adversarial"):
            terms.append(f"{loss['adversarial']:g} * Wasserstein critic")
        if loss.get("lesions"):
            terms.append(f"{loss['lesions']:g} * response to small lesions")
        weighted = ", patches weighted by their inserted noise" if loss["noise_weighted"] else ""
        spent = f"{steps:,} steps, {minutes:g} minutes, precision {precision}"
        if level.get("muon_rate"):
            spent += ", hidden convolutions by Muon"
        if level.get("end_to_end"):
            spent += ", end to end with the levels before"
        if level.get("average"):
            spent += f", weights averaged with a decay of {level['average']:g}"
        lines.append(f"- level {number}: {spent}; loss {' + '.join(terms)}{weighted}")
    if start := training.get("start_from"):
        before = f" after {' + '.join(f'{steps:,}' for steps in start['steps'])} steps" if start.get("steps") else ""
        lines.append(f"- started from {start['name']} (tensors {start['tensor_hash'][:8]}){before}")
    lines += [f"- {remark}" for remark in training.get("remarks", [])]
    return "\n".join(lines) + "\n"


def _metrics_text(metrics: dict[str, Any]) -> str:
    return f"Measured by `{metrics['command']}`: {metrics['note']}\n\n" + _table(metrics["columns"], metrics["rows"])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
