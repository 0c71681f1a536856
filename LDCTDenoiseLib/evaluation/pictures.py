"""Pictures as a radiologist wants them: same slice, same window, enlarged, with differences; and the curves."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_fill_holes, binary_opening, label, uniform_filter

from ..measures.image_quality import ABDOMEN, BRAIN, CHEST, LIVER, Window
from ..measures.noise_left import body_of_tiles, noise_left_of_tiles
from ..measures.nps import NoisePower

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .phantom_study import PhantomResult

DIFFERENCE_HU = 100.0
BLENDS = (0.0, 0.3, 0.5, 0.7, 1.0)
_SOLID_HU = -500.0
_LUNG_SHARE = 0.2
_INSIDE_SHARE = 0.95
_TISSUE_SHARE = 0.9
_INCHES = 2.6
_BONE_HU = 300.0
_SKULL_SHARE = 0.12
_HEAD_CM2 = 350.0


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def as_png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def body_mask(reference: np.ndarray) -> np.ndarray:
    """The patient in a slice (rows, columns): its largest connected part that is no air, lungs and gas filled in."""
    solid = binary_opening(uniform_filter(reference.astype(float), 3) > _SOLID_HU, iterations=3)  # cuts the table off
    parts, count = label(solid)
    if count == 0:
        return np.zeros(reference.shape, bool)
    return binary_fill_holes(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))


def window_for(reference: np.ndarray) -> Window:
    """The chest window where much of the patient in a slice (rows, columns) is lung, the abdomen window elsewhere."""
    body = body_mask(reference)
    lung = body & (uniform_filter(reference.astype(float), 3) < _SOLID_HU)
    return CHEST if lung.sum() > _LUNG_SHARE * max(1, body.sum()) else ABDOMEN


def organ_window(reference: np.ndarray, spacing: tuple[float, float]) -> Window:
    """The narrow window that the organ of a slice is read in: brain within a skull, else lung, else liver.

    Args:
        reference: (rows, columns), HU.
        spacing: (rows, columns) in mm.
    """
    if window_for(reference) is CHEST:
        return CHEST
    body = body_mask(reference)
    area_cm2 = body.sum() * spacing[0] * spacing[1] / 100
    bone = np.count_nonzero(reference[body] > _BONE_HU)
    return BRAIN if area_cm2 < _HEAD_CM2 and bone > _SKULL_SHARE * max(1, body.sum()) else LIVER


def detail(reference: np.ndarray, window: Window, tissue: np.ndarray | None = None) -> tuple[slice, slice]:
    """Rows and columns of the quarter of a slice with the most structure in the window: worth enlarging.

    Args:
        reference: (rows, columns), HU.
        window: that it is shown in.
        tissue: mask of a tissue; of the quarters that hold the most of it one is taken.
    """
    side = [max(1, length // 4) for length in reference.shape]
    shown = uniform_filter(np.clip(reference.astype(float), window.low, window.high), 3)
    spread = uniform_filter(shown**2, side) - uniform_filter(shown, side) ** 2
    # The body's border has the largest spread and says the least.
    inside = uniform_filter(body_mask(reference).astype(float), side)
    spread[inside < min(_INSIDE_SHARE, inside.max())] = 0
    if tissue is not None:
        share = uniform_filter(tissue.astype(float), side)
        spread[share < _TISSUE_SHARE * share[spread > 0].max(initial=0)] = 0
    corners = [(0, 0), (0, 0)]
    middle = np.unravel_index(np.argmax(spread), spread.shape) if spread.any() else [n // 2 for n in reference.shape]
    for axis, (centre, length, size) in enumerate(zip(middle, reference.shape, side, strict=True)):
        start = int(np.clip(centre - size // 2, 0, length - size))
        corners[axis] = (start, start + size)
    return slice(*corners[0]), slice(*corners[1])


def show_hu(axis: Axes, image: np.ndarray, window: Window, aspect: float = 1.0) -> None:
    """A slice in a window, without ticks."""
    axis.imshow(image, vmin=window.low, vmax=window.high, cmap="gray", interpolation="none", aspect=aspect)
    axis.set_xticks([])
    axis.set_yticks([])


def show_words(axis: Axes, words: str) -> None:
    """Words in the place of a slice that is not there."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.text(0.5, 0.5, words, ha="center", va="center", transform=axis.transAxes)


def compare_slices(
    images: Mapping[str, np.ndarray],
    spacing: tuple[float, float],
    *,
    where: tuple[slice, slice] | None = None,
    window: Window | None = None,
) -> bytes:
    """One slice by every method: whole, enlarged, and as difference from the reference with a colour bar (PNG).

    Args:
        images: (rows, columns) HU by name, the reference last.
        spacing: (rows, columns) in mm.
        where: the enlarged part; None chooses it.
        window: to show it in; None chooses it.
    """
    reference = list(images.values())[-1].astype(float)
    window = window or window_for(reference)
    where = where or detail(reference, window)
    aspect = spacing[0] / spacing[1]
    figure = new_figure(_INCHES * len(images) + 0.9, _INCHES * 3 + 0.4)
    axes = figure.subplots(3, len(images), squeeze=False)
    difference = None
    for column, (name, image) in enumerate(images.items()):
        show_hu(axes[0, column], image, window, aspect)
        axes[0, column].set_title(name, fontsize=10)
        show_hu(axes[1, column], image[where], window, aspect)
        _frame(axes[0, column], where)
        if column == len(images) - 1:
            axes[2, column].set_axis_off()
            continue
        difference = axes[2, column].imshow(
            image - reference, vmin=-DIFFERENCE_HU, vmax=DIFFERENCE_HU, cmap="RdBu_r", interpolation="none", aspect=aspect
        )
        axes[2, column].set_xticks([])
        axes[2, column].set_yticks([])
    for row, text in enumerate((window.name, "enlarged", "minus reference")):
        axes[row, 0].set_ylabel(text)
    figure.colorbar(axes[0, 0].images[0], ax=axes[:2], label=f"HU ({window.name})", shrink=0.6)
    if difference is not None:
        figure.colorbar(difference, ax=axes[2], label="HU difference", shrink=0.9)
    return as_png(figure)


def _frame(axis: Axes, where: tuple[slice, slice]) -> None:
    from matplotlib.patches import Rectangle

    rows, columns = where
    corner = (columns.start - 0.5, rows.start - 0.5)
    axis.add_patch(
        Rectangle(corner, columns.stop - columns.start, rows.stop - rows.start, fill=False, color="gold", linewidth=0.8)
    )


def noise_left_maps(images: Mapping[str, np.ndarray], low: np.ndarray, spacing: tuple[float, float]) -> bytes:
    """Noise left in tiles of one slice, a map for each method beside the reference (PNG).

    Args:
        images: (rows, columns) HU by name, the reference last.
        low: (rows, columns), HU, with the noise that is looked for.
        spacing: (rows, columns) in mm.
    """
    *methods, (name, reference) = images.items()
    window, aspect = window_for(reference), spacing[0] / spacing[1]
    figure = new_figure(_INCHES * len(images) + 0.9, _INCHES + 0.4)
    axes = figure.subplots(1, len(images), squeeze=False)[0]
    body = body_of_tiles(reference[None])
    for axis, (method, image) in zip(axes, methods, strict=False):
        tiles = noise_left_of_tiles(image[None], reference[None], low[None], body)[0]
        shown = axis.imshow(tiles, vmin=0, vmax=1, cmap="viridis", interpolation="none", aspect=aspect)
        axis.set_title(method, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    show_hu(axes[-1], reference, window, aspect)
    axes[-1].set_title(name, fontsize=10)
    figure.colorbar(shown, ax=axes, label="noise left", shrink=0.9)
    return as_png(figure)


def blend_strip(low: np.ndarray, denoised: np.ndarray, reference: np.ndarray, spacing: tuple[float, float]) -> bytes:
    """The enlarged part of a slice at several blends of input and result, beside the reference (PNG).

    Args:
        low, denoised, reference: (rows, columns) HU; ``denoised`` at blend 1.
        spacing: (rows, columns) in mm.
    """
    window = window_for(reference)
    where = detail(reference, window)
    figure = new_figure(_INCHES * (len(BLENDS) + 1) + 0.9, _INCHES + 0.4)
    axes = figure.subplots(1, len(BLENDS) + 1)
    for axis, blend in zip(axes, BLENDS, strict=False):
        show_hu(axis, (low + blend * (denoised.astype(float) - low))[where], window, spacing[0] / spacing[1])
        axis.set_title(f"blend {blend:g}" + (" (input)" if blend == 0 else ""), fontsize=10)
    show_hu(axes[-1], reference[where], window, spacing[0] / spacing[1])
    axes[-1].set_title("reference", fontsize=10)
    figure.colorbar(axes[0].images[0], ax=axes, label=f"HU ({window.name})", shrink=0.9)
    return as_png(figure)


def noise_spectra(spectra: Mapping[str, NoisePower]) -> bytes:
    """Radial curves side by side, as measured and scaled to the same area, and the spectra as images (PNG)."""
    figure = new_figure(max(9.0, _INCHES * len(spectra) + 0.9), 6.6)
    grid = figure.add_gridspec(2, 1, height_ratios=(1.3, 1))
    curves, images = (figure.add_subfigure(part) for part in (grid[0], grid[1]))
    power_axis, shape_axis = curves.subplots(1, 2)
    for name, spectrum in spectra.items():
        frequency, power = spectrum.radial
        power_axis.plot(frequency, power, label=f"{name}: SD {spectrum.variance**0.5:.1f} HU")
        if power.any():
            shape_axis.plot(
                frequency, power / np.trapezoid(power, frequency), label=f"{name}: mean {spectrum.mean_frequency:.2f}"
            )
    power_axis.set(xlabel="spatial frequency, per cm", ylabel="NPS, HU$^2$ mm$^2$", title="radial NPS")
    shape_axis.set(xlabel="spatial frequency, per cm", ylabel="share of the noise, cm", title="the same, area 1")
    for axis in (power_axis, shape_axis):
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
    for axis, (name, spectrum) in zip(images.subplots(1, len(spectra), squeeze=False)[0], spectra.items(), strict=True):
        limits = [5 / mm for mm in spectrum.spacing]  # Nyquist frequency per cm
        axis.imshow(spectrum.spectrum, cmap="magma", extent=(-limits[1], limits[1], limits[0], -limits[0]))
        axis.set_title(f"{name}, 2D", fontsize=9)
        axis.tick_params(labelsize=6)
    return as_png(figure)


def edge_transfers(results: Sequence[PhantomResult]) -> bytes:
    """TTF curves on the phantom: a row for each dose, a column for each contrast (PNG)."""
    doses = list(dict.fromkeys(result.dose for result in results))
    contrasts = list(results[0].transfer)
    figure = new_figure(2.7 * len(contrasts), 2.4 * len(doses) + 0.3)
    axes = figure.subplots(len(doses), len(contrasts), squeeze=False, sharex=True, sharey=True)
    for result in results:
        row = doses.index(result.dose)
        for column, contrast in enumerate(contrasts):
            transfer = result.transfer[contrast]
            axes[row, column].plot(transfer.frequency, transfer.transfer, label=result.method, linewidth=1)
            axes[row, column].set_title(f"{contrast:g} HU, dose {result.dose:g}", fontsize=9)
    for axis in axes.flat:
        axis.set(xlim=(0, 8), ylim=(0, 1.3))
        axis.axhline(0.5, color="grey", linewidth=0.5)
        axis.axhline(0.1, color="grey", linewidth=0.5)
    axes[0, 0].legend(fontsize=6)
    figure.supxlabel("spatial frequency, per cm", fontsize=9)
    figure.supylabel("TTF", fontsize=9)
    return as_png(figure)
