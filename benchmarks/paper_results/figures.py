"""The paper's figures 2, 5 and 6 from these runs: one row a claim, a region of low contrast enlarged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.evaluation.pictures import as_png, detail, new_figure, show_hu, show_words
from LDCTDenoiseLib.measures.image_quality import LIVER, psnr_of_arrays
from LDCTDenoiseLib.measures.noise_left import noise_left
from LDCTDenoiseLib.system.files import replace_when_complete

BLEND = 0.7
"""The paper's: 0.3 of the low dose are mixed with the result."""
_INCHES = 2.3


@dataclass(frozen=True)
class ClaimRow:
    """Two systems side by side, and what the paper says of them."""

    words: str
    first: str
    second: str


@dataclass(frozen=True)
class Figure:
    """One of the paper's figures."""

    number: int
    title: str
    rows: tuple[ClaimRow, ...]


FIGURES = (
    Figure(2, "CNN10 and the dilated residual network", (ClaimRow("a DRL beats CNN10", "CNN10", "A"),)),
    Figure(
        5,
        "Losses and the cascade",
        (
            ClaimRow("the perceptual loss keeps structure", "A", "B"),
            ClaimRow("the second network predicts what the first one missed", "B", "C"),
            ClaimRow("MSE alone over-smooths", "D", "C"),
        ),
    ),
    Figure(6, "A third level", (ClaimRow("a third level adds little", "C", "3-level"),)),
)


def draw_figures(pair: DosePair, results: Mapping[str, np.ndarray], out: Path) -> list[str]:
    """Write the figures of which a system is there; returns their names, and removes those of no system.

    Args:
        pair: of one slice.
        results: (rows, columns) HU by system, blended.
        out: folder.
    """
    names = []
    for figure in FIGURES:
        path = out / f"figure{figure.number}.png"
        if any(name in results for row in figure.rows for name in (row.first, row.second)):
            with replace_when_complete(path, ".png") as temporary:
                temporary.write_bytes(draw(figure, pair, results))
            names.append(path.name)
        else:
            path.unlink(missing_ok=True)
    return names


def draw(figure: Figure, pair: DosePair, results: Mapping[str, np.ndarray]) -> bytes:
    """One figure as PNG: low dose, both systems, normal dose; a row for each claim."""
    low, full = pair.low[0].astype(np.float32), pair.full[0].astype(np.float32)
    part = detail(full, LIVER)
    canvas = new_figure(4 * _INCHES, len(figure.rows) * (_INCHES + 0.55) + 0.3)
    axes = canvas.subplots(len(figure.rows), 4, squeeze=False)
    for row, claim in zip(axes, figure.rows, strict=True):
        panels = {
            "low dose": low,
            claim.first: results.get(claim.first),
            claim.second: results.get(claim.second),
            "normal dose": full,
        }
        row[0].set_ylabel(claim.words, fontsize=8, wrap=True)
        for axis, (name, image) in zip(row, panels.items(), strict=True):
            axis.set_title(name, fontsize=10)
            if image is None:
                show_words(axis, "not trained yet")
                continue
            show_hu(axis, image[part], LIVER, pair.spacing[0] / pair.spacing[1])
            if image is not full:
                gain = psnr_of_arrays(image, full, LIVER) - psnr_of_arrays(low, full, LIVER)
                left = noise_left(image[None], full[None], low[None])
                axis.set_xlabel(f"gain {gain:+.2f} dB, noise left {left:.2f}", fontsize=8)
    canvas.suptitle(
        f"{pair.patient}, slice {pair.slices[0]}, {LIVER.name}, blend {BLEND:g}; figures of the whole slice", fontsize=9
    )
    return as_png(canvas)
