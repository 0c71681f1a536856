"""The comparisons of the paper's figures 2, 5 and 6, from our own runs.

Ataei et al., arXiv 2006.14738. Which systems stand in which figure is our reading of the experiments; patient, slice and window
are ours. A system without a run stands there as "not trained yet".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np

from ..data.pairs_csv import read_pairs
from ..errors import InputError, OutputError
from ..inference.engine import Denoiser
from ..measures.image_quality import psnr_of_arrays
from ..measures.noise_left import noise_left
from ..measures.tissue_bias import tissue_masks
from ..models.model_info import SUFFIX
from ..system.files import replace_when_complete
from .dose_pair import DosePair
from .evaluate import EvaluationOptions, load_pair
from .pictures import as_png, detail, new_figure, organ_window, show_hu, show_words

_INCHES = 2.3
_WORDS_WIDTH = 36
"""Letters of a claim in a line beside its row."""
RUNS = {
    "A": "paper-a",
    "B": "paper-b",
    "C": "paper-c",
    "D": "paper-d",
    "3-level": "paper-3level",
    "CNN10": "paper-cnn10",
}
"""Run folders of the paper's systems, named after their configurations."""


@dataclass(frozen=True)
class ClaimRow:
    """Two systems side by side, and what the paper says of them."""

    words: str
    first: str
    second: str


@dataclass(frozen=True)
class PaperFigure:
    """One of the paper's figures."""

    number: int
    title: str
    rows: tuple[ClaimRow, ...]

    @property
    def systems(self) -> set[str]:
        """By the paper's names."""
        return {name for row in self.rows for name in (row.first, row.second)}


FIGURES = (
    PaperFigure(2, "CNN10 and the dilated residual network", (ClaimRow("a DRL beats CNN10", "CNN10", "A"),)),
    PaperFigure(
        5,
        "Losses and the cascade",
        (
            ClaimRow("the perceptual loss keeps structure", "A", "B"),
            ClaimRow("the second network predicts what the first one missed", "B", "C"),
            ClaimRow("MSE alone over-smooths", "D", "C"),
        ),
    ),
    PaperFigure(6, "A third level", (ClaimRow("a third level adds little", "C", "3-level"),)),
)


def find_runs(runs: Path) -> dict[str, Path]:
    """The model files of the systems that were run.

    Raises:
        InputError: there is none, or a run folder holds several model files.
    """
    found = {}
    for system, name in RUNS.items():
        models = sorted((runs / name).glob(f"*{SUFFIX}"))
        if len(models) > 1:
            raise InputError(f"{runs / name} holds several model files; leave the one to show.")
        if models:
            found[system] = models[0]
    if not found:
        raise InputError(
            f"{runs} holds no finished run of the paper's systems ({', '.join(RUNS.values())}); train one with "
            "`ldctdenoise train --config paper-c` first."
        )
    return found


def draw_paper_figures(
    csv: Path, runs: Path, out: Path, options: EvaluationOptions, *, patient: str | None = None, index: int = -1
) -> list[Path]:
    """Write ``figure2.png``, ``figure5.png`` and ``figure6.png``, as far as their systems were run.

    Args:
        csv: of pairs; the first patient of ``options.split`` is shown, if none is named.
        runs: folder of the run folders.
        out: folder for the pictures; made if it is missing.
        options: split, blend, simulated dose and device.
        patient: to show.
        index: slice to show, counted from 0; -1 is the middle one.

    Returns:
        The pictures.

    Raises:
        InputError: no run, no such patient or slice, or the folder cannot be made.
    """
    models = find_runs(runs)
    candidates = [
        pair for pair in read_pairs(csv) if (pair.patient == patient if patient is not None else pair.split == options.split)
    ]
    if not candidates:
        raise InputError(f"{csv.name} has no patient {patient or f'in the split {options.split!r}'}; choose another.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made ({error.strerror}); choose another folder.") from error
    pair = load_pair(candidates[0], options, only=index)
    results = {
        system: Denoiser(model, options.device, blend=options.blend)(pair.low.astype(np.float32))[0]
        for system, model in models.items()
    }
    return write_paper_figures(pair, results, out, options.blend)


def write_paper_figures(pair: DosePair, results: Mapping[str, np.ndarray], out: Path, blend: float) -> list[Path]:
    """Write the figures of which a system is there, and remove those of no system.

    Args:
        pair: of one slice.
        results: (rows, columns) HU by system.
        out: folder.
        blend: of the results, for the title.

    Returns:
        The pictures.
    """
    paths = []
    for figure in FIGURES:
        path = out / f"figure{figure.number}.png"
        if figure.systems.intersection(results):
            with replace_when_complete(path, ".png") as temporary:
                temporary.write_bytes(draw(figure, pair, results, blend))
            paths.append(path)
        else:
            path.unlink(missing_ok=True)
    return paths


def draw(figure: PaperFigure, pair: DosePair, results: Mapping[str, np.ndarray], blend: float) -> bytes:
    """One figure as PNG: low dose, both systems, normal dose, a detail in the window of its organ; a row for each claim.

    Args:
        figure: which.
        pair: of one slice.
        results: (rows, columns) HU by system; those that are missing are said to be.
        blend: of the results, for the title.
    """
    low, full = pair.low[0].astype(np.float32), pair.full[0].astype(np.float32)
    window = organ_window(full, pair.spacing)
    part = detail(full, window, tissue_masks(full[None])["soft"][0])
    canvas = new_figure(4 * _INCHES, len(figure.rows) * (_INCHES + 0.55) + 0.3)
    axes = canvas.subplots(len(figure.rows), 4, squeeze=False)
    for row, claim in zip(axes, figure.rows, strict=True):
        panels = {
            "low dose": low,
            claim.first: results.get(claim.first),
            claim.second: results.get(claim.second),
            "normal dose": full,
        }
        row[0].set_ylabel(fill(claim.words, _WORDS_WIDTH), fontsize=8)
        for axis, (name, image) in zip(row, panels.items(), strict=True):
            axis.set_title(name, fontsize=10)
            if image is None:
                show_words(axis, "not trained yet")
                continue
            show_hu(axis, image[part], window, pair.spacing[0] / pair.spacing[1])
            if image is not full:
                gain = psnr_of_arrays(image, full, window) - psnr_of_arrays(low, full, window)
                left = noise_left(image[None], full[None], low[None])
                axis.set_xlabel(f"gain {gain:+.2f} dB, noise left {left:.2f}", fontsize=8)
    canvas.suptitle(
        f"{pair.patient}, slice {pair.slices[0]}, {window.name}, blend {blend:g}; figures of the whole slice", fontsize=9
    )
    return as_png(canvas)
