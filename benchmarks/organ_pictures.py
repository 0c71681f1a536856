"""Organs in the windows that they are read in: input, model, non-local means and normal dose, at dose 0.25 and 0.10.

    python -m benchmarks.organ_pictures --shared ../shared/data --out docs/results

Head, lung and liver have another simulator's noise. The pelvis has this project's, with the streaks of a starved detector, and
is a patient that the model was trained on with other noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from LDCTDenoiseLib import Denoiser, read_volume, simulate_low_dose
from LDCTDenoiseLib.evaluation.baselines import find_baseline
from LDCTDenoiseLib.evaluation.dose_pair import DosePair
from LDCTDenoiseLib.evaluation.pictures import as_png, body_mask, new_figure, show_hu
from LDCTDenoiseLib.measures.image_quality import ABDOMEN, BRAIN, CHEST, LIVER, Window
from LDCTDenoiseLib.system.files import replace_when_complete

DOSES = (0.25, 0.10)
PELVIS_SLICE, PELVIS_ELECTRONICS = 20, 60.0
NLM = {"strength": 0.6, "patch": 5}


@dataclass(frozen=True)
class Organ:
    """One picture: low doses by dose fraction beside the normal dose, of one slice."""

    name: str
    window: Window
    full: np.ndarray
    low: dict[float, np.ndarray]
    spacing: tuple[float, float]


def from_pairs(folder: Path, name: str, organ: str, window: Window) -> Organ:
    """The middle slice of a pair; low doses are files NAME_d25 and NAME_d10."""
    full = read_volume(folder / f"{name.split('_')[0]}_full.nrrd")
    middle = len(full.hu) // 2
    low = {dose: read_volume(folder / f"{name}_d{dose * 100:.0f}.nrrd").hu[middle] for dose in DOSES}
    return Organ(organ, window, full.hu[middle], low, full.spacing)


def streaky_pelvis(path: Path) -> Organ:
    """A slice of a wide patient with electronic noise."""
    scan = read_volume(path)
    full = scan.hu[PELVIS_SLICE : PELVIS_SLICE + 1]
    low = {dose: simulate_low_dose(full, scan.spacing, dose, electronic_noise=PELVIS_ELECTRONICS, seed=3)[0] for dose in DOSES}
    return Organ("pelvis", ABDOMEN, full[0], low, scan.spacing)


def draw(organ: Organ, methods: dict[str, Callable[[np.ndarray, DosePair], np.ndarray]]) -> bytes:
    """A row for each dose, a column for each method; the body fills the picture (PNG)."""
    body = np.argwhere(body_mask(organ.full))
    (top, left), (bottom, right) = body.min(axis=0), body.max(axis=0) + 1
    titles = ["low dose", *methods, "normal dose"]
    height = 3.2 * (bottom - top) / (right - left) * len(DOSES) + 0.6
    figure = new_figure(3.2 * len(titles), height)
    grid = figure.subplots(len(DOSES), len(titles), squeeze=False)
    for row, (dose, low) in zip(grid, organ.low.items(), strict=True):
        pair = DosePair(organ.name, organ.name, low[None], organ.full[None], organ.spacing, (0,))
        images = [low, *(method(low[None], pair)[0] for method in methods.values()), organ.full]
        for axis, title, image in zip(row, titles, images, strict=True):
            show_hu(axis, image[top:bottom, left:right], organ.window)
            axis.set_title(f"{title}, dose {dose:g}" if title != "normal dose" else title, fontsize=9)
    figure.suptitle(f"{organ.name}, {organ.window.label}", fontsize=11)
    return as_png(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder of train, pairs and kernel_pairs")
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path, required=True, help="folder for organ_NAME.png")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    denoiser, nlm = Denoiser(options.model, "cpu"), find_baseline("nlm").method(NLM)
    methods: dict[str, Callable[[np.ndarray, DosePair], np.ndarray]] = {
        denoiser.info.name: lambda hu, pair: denoiser(hu),
        "non-local means": lambda hu, pair: nlm.apply(hu, pair.noise_hu),
    }
    organs = [
        from_pairs(options.shared / "pairs", "head", "head", BRAIN),
        from_pairs(options.shared / "pairs", "chest", "lung", CHEST),
        from_pairs(options.shared / "kernel_pairs", "upper_b30", "liver", LIVER),
        streaky_pelvis(options.shared / "train" / "abdpelvis_TCGA-OV_09-2043.nrrd"),
    ]
    for organ in organs:
        with replace_when_complete(options.out / f"organ_{organ.name}.png") as temporary:
            temporary.write_bytes(draw(organ, methods))


if __name__ == "__main__":
    main()
