"""The training's demo: a tiny cascade on phantoms, judged on a phantom that it has not seen."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data.pairs_csv import Pair, Source, write_pairs
from ..errors import OutputError
from ..inference.engine import Denoiser
from ..measures.image_quality import ABDOMEN, psnr_of_arrays
from ..simulation.phantom import make_phantom, other_body
from ..training.config import TrainingConfig
from ..training.train import train
from ..volumes.volume_file import write_volume
from .denoising_demo import as_scan

DOSE_FRACTION = 0.25
SPLITS = ("train", "train", "train", "validate", "test")
SLICES = 4
SIZE = 256


def run_demo_training(
    config: TrainingConfig, out: Path, *, vgg_weights: str | os.PathLike[str] | None = None, device: str = "auto"
) -> str:
    """Make phantoms of five bodies, train on three of them, and return the gain on the last.

    Args:
        config: what to train; without VGG weights, its perceptual terms are left out.
        out: folder for the phantoms (``data/``) and the run (``run/``).
        vgg_weights: safetensors file of VGG-16.
        device: as in ``training.train.train``.

    Raises:
        OutputError: the folder cannot be made, or holds an earlier run.
    """
    folder = out / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be made ({error.strerror}); choose another folder.") from error
    pairs = []
    for seed, split in enumerate(SPLITS):
        phantom = make_phantom(SLICES, SIZE, other_body(seed))
        truth, low = np.rint(phantom.truth).astype(np.int16), phantom.scan(DOSE_FRACTION, seed=seed)
        paths = [folder / f"body{seed}_{dose}.nrrd" for dose in ("low", "full")]
        for path, hu in zip(paths, (low, truth), strict=True):
            write_volume(as_scan(hu, phantom), path)
        pairs.append(Pair(f"body{seed}", Source(paths[0]), Source(paths[1]), split))
    write_pairs(pairs, folder / "pairs.csv")
    if vgg_weights is None:
        levels = tuple(replace(level, loss=replace(level.loss, perceptual=0.0)) for level in config.levels)
        config = replace(config, levels=levels)
    model = train(config, folder / "pairs.csv", out / "run", vgg_weights=vgg_weights, device=device)
    # The last phantom is the test patient, which the training never opened.
    before, after = (psnr_of_arrays(hu, truth, ABDOMEN) for hu in (low, Denoiser(model, device=device)(low)))
    return (
        f"A phantom that the training has not seen, PSNR at {ABDOMEN.label}: input {before:.2f} dB, output {after:.2f} dB, "
        f"gain {after - before:+.2f} dB\n{model}"
    )
