"""docs/results/README.md: what the paper claims beside what was found. Every figure comes from the files of ``judge.py``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from benchmarks.speed.report import table
from LDCTDenoiseLib.evaluation.local_response import NOISE_LEFT_MEDIAN, NOISE_LEFT_P90
from LDCTDenoiseLib.evaluation.paper_figures import FIGURES
from LDCTDenoiseLib.evaluation.patient_table import NPS_MEAN
from LDCTDenoiseLib.evaluation.slice_table import RMSE
from LDCTDenoiseLib.measures.image_quality import ABDOMEN
from LDCTDenoiseLib.measures.signal_kept import SMALL_FAINT

from .bootstrap import REPEATS, SHARE, Interval, paired_bootstrap
from .judge import (
    BIASES,
    BLEND,
    COST,
    EQUAL_NOISE,
    GAIN,
    GAIN_BLENDED,
    GAIN_CHEST,
    KEPT,
    LEAST_REMOVED,
    NPS_EQUAL,
    SSIM,
    SSIM_BLENDED,
    TTF_CONTRASTS_HU,
    TTF_NOISE_HU,
)
from .parts import PARTS
from .patients import DOSES, KERNEL
from .plan import DOSE_RANGE, EPOCH_STEPS, EPOCHS, SECONDS, Granted, hours
from .systems import (
    BY_NAME,
    CLAIMS,
    DRL,
    FILTER,
    INPUT_ROW,
    NEGLIGIBLE_DB,
    OTHERS,
    PUBLISHED,
    SHIPPED,
    SYSTEMS,
    Claim,
    Expected,
)

MISSING, UNJUDGED, OPEN = "not trained yet", "not judged yet", "open"
QUALITY = {
    GAIN: "{:+.2f}",
    GAIN_BLENDED: "{:+.2f}",
    GAIN_CHEST: "{:+.2f}",
    SSIM: "{:.4f}",
    RMSE: "{:.2f}",
    **dict.fromkeys(BIASES, "{:+.2f}"),
}
STRUCTURE = {
    NOISE_LEFT_MEDIAN: "{:.2f}",
    NOISE_LEFT_P90: "{:.2f}",
    **dict.fromkeys(KEPT.values(), "{:.2f}"),
    COST: "{:.3f}",
    NPS_MEAN: "{:.2f}",
    NPS_EQUAL: "{:.2f}",
}
_FORMS = {**QUALITY, **STRUCTURE, SSIM_BLENDED: "{:.4f}"}


class Verdict(Enum):
    """What an interval says of a claim."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True)
class Results:
    """All that the page is made of.

    Attributes:
        judged: the record of each system's file, by its name; systems that were not judged are missing.
        records: of the finished parts, by name (``weights.read_record``).
        granted: steps by part.
        patients: by split.
        shipped: one line: levels and loss of the shipped model.
        pictures: that were drawn.
        failed: what went wrong, by the part's name.
    """

    judged: Mapping[str, Mapping[str, Any]]
    records: Mapping[str, Mapping[str, Any]]
    granted: Mapping[str, Granted]
    patients: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shipped: str = ""
    pictures: Sequence[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def missing(self, name: str) -> str:
        """Why a row is not judged."""
        trained = name in OTHERS or all(part in self.records for part in BY_NAME[name].parts)
        return UNJUDGED if trained else MISSING


def page(results: Results) -> str:
    """The page as Markdown."""
    parts = [
        "# The paper's experiments",
        "Written by `make results` from its own measurements; do not edit. The paper: Ataei, Alirezaie, Babyn, "
        "[arXiv 2006.14738](https://arxiv.org/abs/2006.14738).",
        "## In ten lines",
        "\n".join(f"{number}. {line}" for number, line in enumerate(ten_lines(results), 1)),
        *(f"**Stopped:** {name}: {message}" for name, message in results.failed.items()),
        "## The claims",
        *_claims_in_words(results),
        "\n".join(
            table(
                ["claim", "systems", "verdict", f"difference [{SHARE:.0%} interval]", "measure"],
                [_claim_row(results, one) for one in CLAIMS],
            )
        ),
        *_pictures(results),
    ]
    for dose in DOSES:
        parts += [
            f"## Dose {dose:g}",
            "Mean ± SD over the patients; blend 1, where no other is named." if dose == DOSES[0] else "",
            _measures(results, dose, QUALITY),
            _measures(results, dose, STRUCTURE),
        ]
    parts += [
        "## Edges, size and speed",
        "TTF50 of the phantom's edges by their contrast and the noise of the scan, as a share of the input's. A slice has "
        "512 x 512 pixels; seconds of one core.",
        _edges_and_size(results),
        "## How they were trained",
        *_how(results),
        _trainings(results),
        "## Files",
        "- `benchmarks/paper_results/judged`: the figures of every slice, one file a row; this page and the "
        "claims are made of them\n"
        "- `benchmarks/paper_results/weights`: finished parts, float16; RED-CNN's, 3.7 MB a part, are not kept\n"
        "- `benchmarks/paper_results/steps.json`: processor seconds of a step, and the steps granted\n"
        "- other pages: [frontier of the shipped model](frontier.md), [its second level](levels.md)",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def ten_lines(results: Results) -> list[str]:
    """What a reader takes away."""
    return [
        _budget(results),
        *(f"{words}: {_told_together(results, words)}." for words in PUBLISHED),
        _best(results),
        f"The shipped model uses of it: {results.shipped}.",
    ]


def _budget(results: Results) -> str:
    minutes = [60 * hours(system.all_parts, results.granted) for system in SYSTEMS]
    left = [name for name in PARTS if name not in results.records]
    state = "all are trained" if not left else f"{hours(left, results.granted):.1f} of them are still to be trained"
    there = [system.name for system in SYSTEMS if system.name in results.judged]
    judged = "all of them" if len(there) == len(SYSTEMS) else ", ".join(there) or "none yet"
    return (
        f"Budget: {SECONDS / 60:.0f} minutes of one core for each of {len(SYSTEMS)} systems ({min(minutes):.0f} to "
        f"{max(minutes):.0f} in whole steps), {hours(list(PARTS), results.granted):.1f} hours in all; {state}. Two cores for as "
        f"long were planned: it is half of that. Judged: {judged}."
    )


def _told_together(results: Results, words: str) -> str:
    parts: dict[str, list[str]] = {}
    for claim in CLAIMS:
        if claim.published != words or not claim.in_short:
            continue
        interval = _interval(results, claim)
        if interval is None:
            told = f"{OPEN} ({_absent(results, claim)})"
        else:
            told = f"**{verdict(claim, interval).value}** ({_short(claim.measure)} {_interval_text(claim, interval)})"
        so_far = parts.setdefault(f"{claim.system} against {claim.other}", [])
        if told not in so_far:
            so_far.append(told)
    told_of = [f"{systems} {', '.join(told)}" for systems, told in parts.items()]
    if words == DRL and {"A", "CNN10"} <= results.judged.keys():
        own, other = (results.judged[name]["size"]["parameters"] for name in ("A", "CNN10"))
        told_of.append(f"{own:,} parameters against {other:,}")
    return "; ".join(told_of)


def _absent(results: Results, claim: Claim) -> str:
    names = dict.fromkeys((claim.system, claim.other))
    return (
        ", ".join(f"{name} {results.missing(name)}" for name in names if name not in results.judged)
        or "too few slices in which both have it"
    )


def _short(measure: str) -> str:
    return measure.split(",")[0]


def _best(results: Results) -> str:
    means = {name: mean_and_sd(results.judged[name], GAIN)[0] for name in results.judged if name != INPUT_ROW}
    ranked = sorted(((value, name) for name, value in means.items() if name in BY_NAME), reverse=True)
    told = ", ".join(f"{name} {value:+.2f} dB" for value, name in ranked[:3]) or f"no system yet ({MISSING})"
    beside = ", ".join(f"{name} {means[name]:+.2f} dB" for name in (FILTER, SHIPPED) if name in means)
    worse = ", ".join(f"{name} {value:+.2f} dB" for value, name in ranked if value < 0)
    too_little = f" Learnt too little on this budget for a comparison to say anything: {worse}." if worse else ""
    return f"Highest gain at {ABDOMEN.name}, both doses, blend 1: {told}; beside them {beside or 'nothing yet'}.{too_little}"


def _claims_in_words(results: Results) -> list[str]:
    groups: dict[str, dict[str, None]] = {}
    for record in results.judged.values():
        for row in record["slices"]:
            groups.setdefault(row["group"], {})[row["patient"]] = None
    named = " and ".join(f"{len(patients)} of `{group}` ({', '.join(patients)})" for group, patients in groups.items())
    return [
        f"First system minus second, mean over the patients, {named or 'none yet'}, with the {SHARE:.0%} interval of a paired "
        f"bootstrap over slices grouped by patient ({REPEATS:,} draws, percentiles expanded for few patients, both doses); the "
        f"{len(CLAIMS)} comparisons are not corrected for their number. A claim holds, or does not, when the whole interval says "
        f"so; little is less than {NEGLIGIBLE_DB:g} dB.",
        "The paper prints no PSNR, SSIM or VIF, only pictures, so that its words must be read as a measure:\n\n"
        f"- Its pictures are blended, {BLEND:g} of the network's result and {1 - BLEND:g} of the low dose. The blend hides part "
        "of what a network does wrong: a claim about images is held against the blend, and against the networks' own results.\n"
        f"- *{COST[0].upper() + COST[1:]}*: (1 - signal kept of the disc of {SMALL_FAINT.contrast_hu:g} HU and "
        f"{SMALL_FAINT.radius_mm:g} mm radius) / (1 - noise left in soft tissue), the same for every blend, so that a network "
        f"that only does less has the same. It is not told below {LEAST_REMOVED:.0%} of the noise removed.\n"
        f"- *NPS mean frequency at {EQUAL_NOISE:g} of the noise*: of the blend that has {EQUAL_NOISE:g} of the low dose's noise, "
        "for the same reason.\n"
        "- B predicts the image and A the difference, as in the paper, and a step with L_P takes longer, so that B has fewer: "
        "systems at one budget are compared, not the losses alone.",
    ]


def mean_and_sd(judged: Mapping[str, Any], measure: str, dose: float | None = None) -> tuple[float, float]:
    """Mean and SD over patients of the means over their slices; nan where there are none."""
    means = [float(np.mean(values)) for values in by_patient(judged, measure, dose).values()]
    if not means:
        return math.nan, math.nan
    return float(np.mean(means)), float(np.std(means, ddof=1)) if len(means) > 1 else math.nan


def by_patient(judged: Mapping[str, Any], measure: str, dose: float | None = None) -> dict[str, list[float]]:
    """Values of the slices by patient; a measure that does not exist in a slice is left out."""
    found: dict[str, list[float]] = {}
    for row in judged["slices"]:
        if dose in (None, row["dose"]) and row["values"][measure] is not None:
            found.setdefault(row["patient"], []).append(row["values"][measure])
    return found


def differences(one: Mapping[str, Any], other: Mapping[str, Any], measure: str) -> dict[str, list[float]]:
    """One system minus another in each slice that both have, mean over the doses, by patient."""
    pairs: dict[str, dict[int, list[float]]] = {}
    second = {(row["patient"], row["dose"], row["slice"]): row["values"][measure] for row in other["slices"]}
    for row in one["slices"]:
        value, against = row["values"][measure], second.get((row["patient"], row["dose"], row["slice"]))
        if value is not None and against is not None:
            pairs.setdefault(row["patient"], {}).setdefault(row["slice"], []).append(value - against)
    return {patient: [float(np.mean(values)) for values in slices.values()] for patient, slices in pairs.items()}


def _interval(results: Results, claim: Claim) -> Interval | None:
    if claim.system not in results.judged or claim.other not in results.judged:
        return None
    found = differences(results.judged[claim.system], results.judged[claim.other], claim.measure)
    return paired_bootstrap(found) if len(found) > 1 else None


def verdict(claim: Claim, interval: Interval) -> Verdict:
    """What the whole interval says; where nothing is claimed, which of the two is higher."""
    above, below = interval.low > 0, interval.high < 0
    if claim.expected is Expected.WITHIN:
        if max(abs(interval.low), abs(interval.high)) < NEGLIGIBLE_DB:
            return Verdict.HOLDS
        return Verdict.FAILS if interval.low > NEGLIGIBLE_DB or interval.high < -NEGLIGIBLE_DB else Verdict.UNDECIDED
    if not above and not below:
        return Verdict.UNDECIDED
    if claim.expected is Expected.NOTHING:
        return Verdict.HIGHER if above else Verdict.LOWER
    return Verdict.HOLDS if above == (claim.expected is Expected.HIGHER) else Verdict.FAILS


def _interval_text(claim: Claim, interval: Interval) -> str:
    form = _FORMS[claim.measure].replace("{:+", "{:").replace("{:", "{:+")
    return f"{form.format(interval.mean)} [{form.format(interval.low)}, {form.format(interval.high)}]"


def _claim_row(results: Results, claim: Claim) -> list[str]:
    interval = _interval(results, claim)
    told = (
        [OPEN, _absent(results, claim)] if interval is None else [verdict(claim, interval).value, _interval_text(claim, interval)]
    )
    measure = claim.measure.replace(ABDOMEN.label, ABDOMEN.name)  # the data range is the window's width
    return [claim.published, f"{claim.system} minus {claim.other}", *told, measure]


def _measures(results: Results, dose: float, measures: Mapping[str, str]) -> str:
    def cell(judged: Mapping[str, Any], measure: str) -> str:
        mean, sd = mean_and_sd(judged, measure, dose)
        form = measures[measure]
        return "n/a" if math.isnan(mean) else form.format(mean) + ("" if math.isnan(sd) else f" ± {form.format(sd).lstrip('+')}")

    return _rows(results, list(measures), lambda judged: [cell(judged, measure) for measure in measures])


def _rows(results: Results, head: Sequence[str], cells: Callable[[Mapping[str, Any]], Sequence[str]]) -> str:
    """A table with a row for every system and what is shown beside them."""
    rows = []
    for name in (*BY_NAME, *OTHERS):
        judged = results.judged.get(name)
        rows.append([name, *(cells(judged) if judged is not None else [results.missing(name)] * len(head))])
    return "\n".join(table(["system", *head], rows))


def _edges_and_size(results: Results) -> str:
    edges = [(f"{noise:g}", f"{contrast:g}") for noise in TTF_NOISE_HU for contrast in TTF_CONTRASTS_HU]
    head = [f"TTF50, {contrast} HU at {noise} HU" for noise, contrast in edges]

    def cells(judged: Mapping[str, Any]) -> list[str]:
        size = judged.get("size")
        told = (
            ["", "", ""] if size is None else [f"{size['parameters']:,}", f"{size['gflop']:g}", f"{size['seconds_a_slice']:.2f}"]
        )
        found = [judged["ttf50"].get(noise, {}).get(contrast) for noise, contrast in edges]
        return [*("n/a" if share is None else f"{share:.2f}" for share in found), *told]

    return _rows(results, [*head, "parameters", "GFLOP a slice", "s a slice"], cells)


def _how(results: Results) -> list[str]:
    named = "; ".join(f"{split}: {', '.join(patients)}" for split, patients in results.patients.items())
    low, high = DOSE_RANGE
    lines = [
        f"- The same for all: patients ({named}), batches of 32 patches of 64 px by seed, noise inserted at doses {low:g} to "
        f"{high:g} with kernels from soft to bone, Adam with the paper's rate falling to zero by a cosine, the best of "
        f"{EPOCHS} validations (fewer where a part has less than {EPOCHS * EPOCH_STEPS} steps). RED-CNN and WGAN-VGG, without "
        "batch norm, have a tenth of the rate.",
        "- The budget is processor time, granted as steps: a step of each kind was timed with one thread, and the steps that "
        "fill a system's share stand in `steps.json`. So a busy machine changes nothing, and another one repeats the run.",
        "- A system's first network has 60 % of its budget. The other 40 % go, with the rate started anew, into the same network "
        "if it is the only one, and else evenly into the later levels. A first part is the same for all systems that begin alike "
        "(A and D; B, C and 3-level; CNN10 and Wu): trained once, counted once. A later level also pays for running those "
        "before it.",
        "- Networks that see the raw noise, but WGAN-VGG's, are trained in bfloat16 where the processor computes it, the rest in "
        "float32.",
        f"- Judged: three slices of each scan, the {KERNEL} kernel and other noise than the training's for the test patients; "
        "the pairs of another simulator as they are. The reference has noise of its own: in flat tissue of the test patients a "
        "perfect image would gain "
        + " and ".join(f"{10 * math.log10(1 / dose - 1):.1f} dB at dose {dose:g}" for dose in DOSES)
        + ", on the pairs less, for their low doses lie closer to the reference's own noise.",
        "- Weight of L_P: the paper's 0.1 is for an input scale that it does not give; in this project's units it outweighs the "
        "MSE by far. The scaled rows use the weight at which both losses pull at the image equally hard where A's first part "
        "ended.",
        "- The paper: 8 training patients, 220,000 steps, 844 slices of 2 test patients of the AAPM challenge.",
    ]
    return ["\n".join(lines)]


def _trainings(results: Results) -> str:
    rows = []
    for system in SYSTEMS:
        told = []
        for name in system.all_parts:
            record = results.records.get(name)
            done = MISSING if record is None else f"best at {record['kept_step']:,}, {record['precision']}"
            told.append(f"{name}: {results.granted[name].steps:,} ({done})")
        records = [results.records[name] for name in system.parts if name in results.records]
        losses = "; ".join(_loss(record["loss"]) for record in records)
        rows.append([system.name, system.what, system.published, "; ".join(told), losses])
    return "\n".join(table(["system", "what it is", "published", "parts: steps", "losses"], rows))


def _loss(loss: Mapping[str, float]) -> str:
    named = {"mse": "MSE", "perceptual": "L_P", "adversarial": "critic"}
    return " + ".join(name if loss[key] == 1 else f"{loss[key]:g} {name}" for key, name in named.items() if loss[key])


def _pictures(results: Results) -> list[str]:
    told = [
        f"![{figure.title}](figure{figure.number}.png)" for figure in FIGURES if f"figure{figure.number}.png" in results.pictures
    ]
    if not told:
        return []
    words = (
        f"After the paper's figures 2, 5 and 6, one row a claim: a region of low contrast of the first test patient, dose "
        f"{DOSES[0]:g}, blend {BLEND:g}. The figures below the pictures are of this one slice in the window of its organ."
    )
    return ["## Pictures", words, *told]
