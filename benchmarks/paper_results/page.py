"""docs/results/README.md: what is published beside what was found. Every figure comes from the measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from LDCTDenoiseLib.errors import counted
from LDCTDenoiseLib.evaluation.methods import INPUT
from LDCTDenoiseLib.evaluation.patient_table import NOISE, NPS_MEAN, Summary
from LDCTDenoiseLib.evaluation.slice_table import RMSE, measure_name
from LDCTDenoiseLib.measures.image_quality import ABDOMEN
from LDCTDenoiseLib.models.model_info import ModelInfo
from LDCTDenoiseLib.training.config import TrainingConfig

from .measure import PAPER_BLEND, Figures, Measured
from .split import DOSE, KERNEL
from .systems import CLAIMS, NEGLIGIBLE_DB, NEGLIGIBLE_SSIM, SHIPPED, SYSTEMS, Claim, Expected

NOT_RUN = "not run yet"
PSNR, SSIM, VIF = (measure_name(measure, ABDOMEN) for measure in ("PSNR", "SSIM", "VIF"))
QUALITY = {
    "PSNR, dB": (PSNR, "{:.2f}"),
    "SSIM": (SSIM, "{:.4f}"),
    "VIF": (VIF, "{:.3f}"),
    RMSE: (RMSE, "{:.2f}"),
}
TEXTURE = {"noise SD, HU": (NOISE, "{:.1f}"), "NPS mean, per cm": (NPS_MEAN, "{:.2f}")}
YES, IN_PART, NO, SAME = "yes", "in part", "no", "no difference"
COMPARED = {**QUALITY, "NPS mean, per cm": (NPS_MEAN, "{:.2f}")}
_ATTACHED = {
    "summary.json": "the figures of the report of `ldctdenoise evaluate` at blend 1",
    "patients.csv": "per patient",
    "slices.csv": "per slice",
    "results.json": "the figures of this page",
}
_PICTURES = ("figure2.png", "figure5.png", "figure6.png")
_DECIMALS = {PSNR: 2, SSIM: 4, NPS_MEAN: 2}
"""Of the differences that claims are held against, as the forms above print them."""
_ENOUGH_PATIENTS = 6
"""With fewer, a paired Wilcoxon test cannot fall below 0.05."""


@dataclass(frozen=True)
class Results:
    """All that the page is made of.

    Attributes:
        recipes: the papers' configurations by name.
        models: what each model that exists says of itself, by the configuration's name.
        measured: None where nothing was judged yet.
        machine: as of ``benchmarks.speed.machine.describe``.
        split: patients by split.
        failed: what went wrong, by the configuration's name.
    """

    recipes: Mapping[str, TrainingConfig]
    models: Mapping[str, ModelInfo] = field(default_factory=dict)
    measured: Measured | None = None
    machine: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Sequence[str]] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


def page(results: Results, folder: Path) -> str:
    """The page as Markdown.

    Args:
        results: to show.
        folder: what lies there is linked.
    """
    claims = [_claim(results, claim) for claim in CLAIMS]
    parts = [
        "# The paper's experiments",
        "Written by `make results` from its own measurements; do not edit. The paper: Ataei, Alirezaie, Babyn, "
        "[arXiv 2006.14738](https://arxiv.org/abs/2006.14738).",
        *_state(results),
        *_how(results),
        f"## Quality, blend 1\n\n{_scale_words()}",
        _quality(results, 1.0, {**QUALITY, **TEXTURE}, published=True),
        *_against_filters(results),
        f"## Quality, blend {PAPER_BLEND:g}\n\nThe paper shows {1 - PAPER_BLEND:.1f} of the low dose mixed with "
        f"{PAPER_BLEND:g} of the result.",
        _quality(results, PAPER_BLEND, QUALITY, published=False),
        "## What the paper claims, and what was found\n\n"
        "Differences of the means over the test patients at blend 1, first system minus second. The paper prints no PSNR, SSIM "
        "or VIF, only pictures, so that its words must be read: to outperform as a higher PSNR and a higher SSIM, to smooth less "
        f"as a higher mean frequency of the noise power spectrum, negligible as less than {NEGLIGIBLE_DB:g} dB and "
        f"{NEGLIGIBLE_SSIM:g}.",
        table(["systems", "published", *COMPARED, "higher PSNR", "found so"], claims),
        *_verdicts(claims),
        *_patients_words(results),
        "## How they were trained",
        _trainings(results),
        "Minutes and steps of a level that two systems share (B in C, A in D, and so on) count in both: it was trained once. "
        "Weights of the losses are those of the papers. In this project's units 0.1 L_P outweighs the MSE about ten thousand "
        "times (see `default`), so that B and C follow L_P nearly alone; the paper's own scale is not known.",
        *_figures(folder),
        *_files(folder),
    ]
    return "\n\n".join(parts) + "\n"


def _scale_words() -> str:
    return (
        f"PSNR, SSIM and VIF at {ABDOMEN.label}, RMSE over all voxels; mean ± SD over the test patients. The paper does not give "
        'its input scale (its public code uses an unknown "contrast adjusted" intensity), so that its normalisation cannot be '
        "repeated; chest window, [-160,240] and full range are in the report. Published: the paper's abstract and text; the "
        "figures of RED-CNN and WGAN-VGG are ldct-benchmark's."
    )


def _state(results: Results) -> list[str]:
    missing = [system.name for system in SYSTEMS if system.config not in results.models]
    short = {}
    for system in SYSTEMS:
        if system.config in results.models:
            taken, wanted = _steps(results, system.config)
            if taken < wanted:
                short[system.name] = f"{system.name} {taken:,} of {wanted:,}"
    parts = []
    if short:
        parts.append(
            "**Preliminary.** Trained with a small part of the full recipe's optimiser steps, and therefore with another rate "
            f"schedule: {'; '.join(short.values())}. What is found below holds for this budget; it neither confirms nor refutes "
            "the paper."
        )
    if missing:
        parts.append(
            f"**Not run yet:** {', '.join(missing)}. `make results` on a machine with a CUDA GPU trains every system with its "
            "paper's full recipe, goes on where it was stopped, and writes this page anew."
        )
    parts += [f"**Stopped:** {name}: {message}" for name, message in results.failed.items()]
    return parts


def _steps(results: Results, config: str) -> tuple[int, int]:
    """Steps of all levels: taken, and of the full recipe."""
    return sum(results.models[config].training["steps"]), sum(level.steps for level in results.recipes[config].levels)


def _how(results: Results) -> list[str]:
    lines = ["- command: `make results`"]
    if results.split:
        named = "; ".join(f"{split}: {', '.join(patients)}" for split, patients in results.split.items())
        lines.append(f"- patients, normal dose, split by patient: {named}")
        lines.append(
            f"- low dose: noise inserted, dose fraction {DOSE:g}; judged with the {KERNEL} kernel and another seed than "
            "the training's. The reference is the scan itself with its own noise: in flat tissue a perfect image would gain "
            f"{10 * math.log10(1 / DOSE - 1):.1f} dB"
        )
        lines.append("- the paper: 8 training patients (281,660 patches), 844 slices of 2 test patients, of the AAPM challenge")
    if results.measured is not None:
        every = results.measured.every
        which = "all slices" if every == 1 else f"slices 0, {every}, {2 * every}, ..."
        lines.append(f"- judged: {which} of the test patients")
    if results.machine:
        machine = results.machine
        gpu = f"; GPU: {machine['gpu']}" if "gpu" in machine else "; no GPU"
        lines.append(f"- judged on: {machine['processor']}, {machine['threads']} threads{gpu}")
    return ["\n".join(lines)]


def _quality(results: Results, blend: float, measures: Mapping[str, tuple[str, str]], *, published: bool) -> str:
    figures: Figures = results.measured.figures.get(blend, {}) if results.measured is not None else {}
    head = ["system", *(["what it is", "published"] if published else []), *measures]
    rows = []
    for system in (*SYSTEMS, SHIPPED):
        found = figures.get(system.config)
        told = [system.what, system.published] if published else []
        rows.append([system.name, *told, *_cells(found, measures)])
    known = {system.config for system in (*SYSTEMS, SHIPPED)}
    for method in figures:
        if method not in known:
            told = [results.measured.notes[method], ""] if results.measured is not None and published else []
            rows.append([method, *told, *_cells(figures[method], measures)])
    return table(head, rows)


def _cells(found: Mapping[str, Summary] | None, measures: Mapping[str, tuple[str, str]]) -> list[str]:
    if found is None:
        return [NOT_RUN] * len(measures)
    return [_mean_and_sd(found.get(measure), form) for measure, form in measures.values()]


def _mean_and_sd(one: Summary | None, form: str) -> str:
    if one is None or math.isnan(one.mean):
        return "n/a"
    return form.format(one.mean) + ("" if math.isnan(one.sd) else " ± " + form.format(one.sd))


def _claim(results: Results, claim: Claim) -> list[str]:
    one, other = (system.config for name in (claim.system, claim.other) for system in SYSTEMS if system.name == name)
    start = [f"{claim.system} minus {claim.other}", claim.published]
    figures: Figures = results.measured.figures[1.0] if results.measured is not None else {}
    if results.measured is None or one not in figures or other not in figures:
        return [*start, *[NOT_RUN] * (len(COMPARED) + 2)]

    def difference(measure: str) -> float:
        return figures[one][measure].mean - figures[other][measure].mean

    differences = {measure: difference(measure) for measure in (PSNR, SSIM, VIF, RMSE, NPS_MEAN)}
    cells = [form.replace("{:", "{:+").format(differences[measure]) for measure, form in COMPARED.values()]
    rows = {(row.patient, row.method): row.values[PSNR] for row in results.measured.patients}
    patients = dict.fromkeys(row.patient for row in results.measured.patients)
    higher = sum(rows[patient, one] > rows[patient, other] for patient in patients)
    return [*start, *cells, f"{higher} of {len(patients)} patients", agreement(claim.expected, differences)]


def agreement(expected: Expected, differences: Mapping[str, float]) -> str:
    """Whether differences by measure, as they are printed, are as a claim has them; empty where nothing is claimed or known."""
    shown = {measure: round(differences[measure], _DECIMALS[measure]) for measure in (PSNR, SSIM, NPS_MEAN)}
    if expected is Expected.BETTER:
        if not shown[PSNR] and not shown[SSIM]:
            return SAME
        return (NO, IN_PART, YES)[(shown[PSNR] > 0) + (shown[SSIM] > 0)]
    if expected is Expected.EQUAL:
        return YES if abs(differences[PSNR]) < NEGLIGIBLE_DB and abs(differences[SSIM]) < NEGLIGIBLE_SSIM else NO
    if expected is Expected.LESS_SMOOTH and not math.isnan(shown[NPS_MEAN]):
        return SAME if not shown[NPS_MEAN] else YES if shown[NPS_MEAN] > 0 else NO
    return ""


def _verdicts(rows: Sequence[Sequence[str]]) -> list[str]:
    """The table of claims in words: what was found as claimed, and what was not."""
    parts = []
    for told, verdicts in (("As claimed", (YES,)), ("In part", (IN_PART,)), ("**Not as claimed**", (NO, SAME))):
        named = [f"{row[0]} ({row[1]})" for row in rows if row[-1] in verdicts]
        if named:
            parts.append(f"{told}: {'; '.join(named)}.")
    return [" ".join(parts)] if parts else []


def _against_filters(results: Results) -> list[str]:
    """Which systems a tuned filter, or no filtering at all, beats."""
    if results.measured is None:
        return []
    found = {method: measures[PSNR].mean for method, measures in results.measured.figures[1.0].items()}
    names = {system.config: system.name for system in (*SYSTEMS, SHIPPED)}
    filters = {method: value for method, value in found.items() if method not in names and method != INPUT.name}
    told = []
    if INPUT.name in found:
        told += _beaten(found, names, found[INPUT.name], "the low dose as it is")
    if filters:
        best = max(filters, key=lambda method: filters[method])
        told += _beaten(found, names, filters[best], f"the best tuned filter ({best})")
    return [" ".join(told)] if told else []


def _beaten(found: Mapping[str, float], names: Mapping[str, str], limit: float, by: str) -> list[str]:
    worse = [name for method, name in names.items() if method in found and found[method] <= limit]
    return [f"PSNR no higher than that of {by}: {', '.join(worse)}."] if worse else []


def _patients_words(results: Results) -> list[str]:
    if results.measured is None:
        return []
    count = len({row.patient for row in results.measured.patients})
    if count >= _ENOUGH_PATIENTS:
        return []
    return [
        f"With {counted(count, 'test patient')} no difference can be shown to be significant; the table tells directions, "
        "not proofs."
    ]


def _trainings(results: Results) -> str:
    head = [
        "system",
        "configuration",
        "steps by level",
        "full recipe",
        "batch, patches",
        "loss by level",
        "minutes",
        "trained on",
    ]
    rows = []
    for system in (*SYSTEMS, SHIPPED):
        recipe = results.recipes[system.config]
        wanted = "" if system is SHIPPED else _list(f"{level.steps:,}" for level in recipe.levels)
        start = [system.name, f"`{system.config}`"]
        info = results.models.get(system.config)
        if info is None:
            rows.append([*start, NOT_RUN, wanted, "", "", "", ""])
            continue
        made, config = info.training, info.training["config"]
        rows.append(
            [
                *start,
                _list(f"{steps:,}" for steps in made["steps"]),
                wanted,
                f"{config['data']['batch_size']} of {config['data']['patch_size']} px",
                _list(_loss(level["loss"]) for level in config["levels"]),
                _list(f"{minutes:.0f}" for minutes in made["minutes"]),
                str(made["device"]),
            ]
        )
    return table(head, rows)


def _loss(loss: Mapping[str, Any]) -> str:
    named = {"mse": "MSE", "perceptual": "L_P", "adversarial": "critic"}
    return " + ".join(name if loss[key] == 1 else f"{loss[key]:g} {name}" for key, name in named.items() if loss.get(key))


def _list(items: Any) -> str:
    return "; ".join(items)


def _figures(folder: Path) -> list[str]:
    there = [name for name in _PICTURES if (folder / name).exists()]
    if not there:
        return []
    told = (
        "## Pictures\n\nThe systems side by side, after the paper's figures 2, 5 and 6; patient, slice and window stand in the "
        f"pictures, the blend is the paper's {PAPER_BLEND:g}."
    )
    return [told, *(f"![{name.removesuffix('.png')}]({name})" for name in there)]


def _files(folder: Path) -> list[str]:
    there = [f"- [{name}]({name}): {what}" for name, what in _ATTACHED.items() if (folder / name).exists()]
    if not there:
        return []
    page = "- `report.html`: the report itself, one page with pictures; `make results` writes it, the repository does not hold it"
    return ["## Files", "\n".join([page, *there])]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))
