"""The demo: phantom, quarter dose, denoised; a table, a picture and the volumes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np

from ..ct.scan import Geometry, Scan
from ..errors import OutputError
from ..inference.engine import Denoiser
from ..measures.image_quality import ABDOMEN, hu_bias, psnr_of_arrays, rmse, ssim, tissue_mask
from ..simulation.phantom import Phantom, make_phantom
from ..system.extras import require_extra
from ..system.files import replace_when_complete
from ..volumes.volume_file import write_volume

DOSE_FRACTION = 0.25
SLICES = 8
SLICE_MM = 5.0
SOFT_TISSUE_HU = (0.0, 120.0)
PICTURE = "demo.png"
DIFFERENCE_HU = (-100.0, 100.0)
PANEL, TITLE, GAP = 448, 34, 12
"""Side of a panel of the picture, height of its title, and the space between panels; px."""


Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None] | None]]
"""A step's title to a context that gives what is called with slices done and slices to do."""


def run_demo(
    out: Path, *, device: str = "auto", slices: int = SLICES, size: int = 512, bar: Bar = lambda title: nullcontext()
) -> str:
    """Make the demo's files in a folder and return its table.

    Args:
        out: folder for ``demo.png``, ``phantom.nrrd``, ``low_dose.nrrd`` and ``denoised.nrrd``; made if it is missing.
        device: as in ``Denoiser``.
        slices, size: of the phantom.
        bar: how to show the progress of a step.

    Raises:
        OutputError: the folder cannot be made.
        MissingExtraError: the ``demo`` extra is not installed.
    """
    with require_extra("demo"):
        import PIL  # noqa: F401 (asked for before the computation, not after it)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {out} cannot be made ({error.strerror}); choose another folder.") from error
    phantom = make_phantom(slices, size)
    with bar("Simulating") as progress:
        low = phantom.scan(DOSE_FRACTION, progress=progress)
    denoiser = Denoiser(device=device)
    with bar("Denoising") as progress:
        denoised = denoiser(low, progress=progress)
    truth = np.rint(phantom.truth).astype(np.int16)
    for name, hu in (("phantom", truth), ("low_dose", low), ("denoised", denoised)):
        write_volume(as_scan(hu, phantom), out / f"{name}.nrrd")
    _draw(out / PICTURE, truth, low, denoised)
    return _table(truth, low, denoised) + f"\nModel {denoiser.info.name} on {denoiser.device}; files in {out}"


def as_scan(hu: np.ndarray, phantom: Phantom) -> Scan:
    """HU of a phantom with its geometry."""
    return Scan(hu, Geometry((SLICE_MM, *phantom.spacing)))


def _table(truth: np.ndarray, low: np.ndarray, denoised: np.ndarray) -> str:
    mask = tissue_mask(truth, SOFT_TISSUE_HU)
    lines = [f"{'':10}{'RMSE HU':>9}{'PSNR dB':>9}{'SSIM':>7}{'HU bias':>9}   (PSNR, SSIM at {ABDOMEN.name})"]
    for name, hu in (("input", low), ("output", denoised)):
        decibels = psnr_of_arrays(hu, truth, ABDOMEN)
        lines.append(
            f"{name:10}{rmse(hu, truth):9.2f}{decibels:9.2f}{ssim(hu, truth, ABDOMEN):7.3f}{hu_bias(hu, truth, mask):+9.2f}"
        )
    return "\n".join(lines)


def _draw(path: Path, truth: np.ndarray, low: np.ndarray, denoised: np.ndarray) -> None:
    """Six panels with titles, by Pillow: matplotlib is 80 MB that the demo alone would need."""
    from PIL import Image, ImageDraw, ImageFont

    middle = len(truth) // 2
    true, noisy, clean = (volume[middle].astype(float) for volume in (truth, low, denoised))
    images = [
        ("Input, quarter dose", noisy),
        ("Output", clean),
        ("Truth", true),
        ("Input - truth", noisy - true),
        ("Output - truth", clean - true),
        ("Removed: input - output", noisy - clean),
    ]
    picture = Image.new("L", (3 * (PANEL + GAP) + GAP, 2 * (PANEL + TITLE) + GAP), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(16)
    for number, (title, image) in enumerate(images):
        low_hu, high_hu = DIFFERENCE_HU if " - " in title else (ABDOMEN.low, ABDOMEN.high)
        # The phantom fills the middle of the field; the air around it says nothing.
        rows, columns = (slice(length // 16, -(length // 16)) for length in image.shape)
        grey = np.rint(np.clip((image[rows, columns] - low_hu) / (high_hu - low_hu), 0, 1) * 255).astype(np.uint8)
        left, top = GAP + number % 3 * (PANEL + GAP), number // 3 * (PANEL + TITLE)
        pen.text((left, top + 8), f"{title} ({low_hu:g} to {high_hu:g} HU)", fill="black", font=font)
        picture.paste(Image.fromarray(grey).resize((PANEL, PANEL), Image.Resampling.LANCZOS), (left, top + TITLE))
    with replace_when_complete(path, ".png") as temporary:
        picture.save(temporary)
