"""The comparisons of the paper's figures 2, 5 and 6, from our own runs.

Ataei et al., arXiv 2006.14738. Which systems stand in which figure is our reading of the experiments; patient, slice and window
are ours. A system without a run stands there as "not run yet".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.pairs_csv import read_pairs
from ..errors import InputError, OutputError
from ..inference.engine import Denoiser
from ..measures.image_quality import Window, psnr_of_arrays, ssim
from ..models.model_info import SUFFIX
from ..system.files import replace_when_complete
from .dose_pair import DosePair
from .evaluate import EvaluationOptions, load_pair
from .pictures import as_png, detail, new_figure, show_hu, show_words, window_for

LOW, FULL = "low dose", "normal dose"
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
class PaperFigure:
    """One of the figures.

    Attributes:
        number: in the paper.
        title: what it compares.
        systems: by the paper's names.
        enlarged: show the part with the most structure, not the whole slice.
    """

    number: int
    title: str
    systems: tuple[str, ...]
    enlarged: bool = False


FIGURES = (
    PaperFigure(2, "One network: CNN10 against the dilated residual network (A)", ("CNN10", "A")),
    PaperFigure(5, "One network with MSE (A) or perceptual loss (B), the cascade (C), a cascade of A (D)", ("A", "B", "C", "D")),
    PaperFigure(6, "The same, enlarged, with the three-level cascade", ("A", "B", "C", "D", "3-level"), enlarged=True),
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
    """Write ``figure2.png``, ``figure5.png`` and ``figure6.png``.

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
    paths = []
    for figure in FIGURES:
        paths.append(out / f"figure{figure.number}.png")
        with replace_when_complete(paths[-1], ".png") as temporary:
            temporary.write_bytes(draw(figure, pair, results, options.blend))
    return paths


def draw(figure: PaperFigure, pair: DosePair, results: dict[str, np.ndarray], blend: float) -> bytes:
    """One figure as PNG: low dose, the systems, normal dose.

    Args:
        figure: which.
        pair: of one slice.
        results: (rows, columns) HU by system; those that are missing are shown as not run.
        blend: of the results, for the title.
    """
    low, full = pair.low[0].astype(float), pair.full[0].astype(float)
    window = window_for(full)
    part = detail(full, window) if figure.enlarged else (slice(None), slice(None))
    panels: dict[str, np.ndarray | None] = {LOW: low, **{name: results.get(name) for name in figure.systems}, FULL: full}
    columns = (len(panels) + 1) // 2 if len(panels) > 4 else len(panels)
    rows = -(-len(panels) // columns)
    canvas = new_figure(3.3 * columns, 3.7 * rows + 0.5)
    axes = canvas.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (name, image) in zip(axes, panels.items(), strict=False):
        if image is None:
            show_words(axis, "not run yet")
        else:
            show_hu(axis, image[part], window, pair.spacing[0] / pair.spacing[1])
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(_caption(name, image, full, window), fontsize=8)
    canvas.suptitle(
        f"{figure.title}\n{pair.patient}, slice {pair.slices[0]}, {window.name}, blend {blend:g}; "
        "figures of the whole slice in that window",
        fontsize=9,
    )
    return as_png(canvas)


def _caption(name: str, image: np.ndarray | None, full: np.ndarray, window: Window) -> str:
    if image is None or name == FULL:
        return ""
    return f"PSNR {psnr_of_arrays(image, full, window):.2f} dB, SSIM {ssim(image[None], full[None], window):.3f}"
