"""The figures of the results, a line for each, so that they can be compared."""

from __future__ import annotations

import html
from typing import Any

from slicer.i18n import tr as _

_NO_FIGURE = "&ndash;"
_KEPT = 6
"""More lines would push the panel's other parts off the screen."""


class ResultTable:
    """Keeps the figures of the last results."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = []

    def add(self, result: dict[str, Any], strength: float) -> None:
        """Add a result.

        Args:
            result: what a run gives.
            strength: share of the denoised image, 0 to 1.
        """
        figures = result["comparison"]
        before, after = figures["noise_before"], figures["noise_after"]
        change = f"{100 * (after / before - 1):+.0f} %" if before else _NO_FIGURE
        row = [
            f"{100 * strength:.0f} %",
            _pair(before, after, "{:.1f}"),
            change,
            _number(figures["mean_shift"], "{:+.2f}", 2),
            _("{seconds} s").format(seconds=f"{result['seconds']:.1f}"),
        ]
        self._rows = [*self._rows, [*row, _againstReference(figures)]][-_KEPT:]

    def clear(self) -> None:
        """Forget all results."""
        self._rows = []

    def text(self) -> str:
        """Rich text; empty without results."""
        if not self._rows:
            return ""
        lines = [[_("Strength"), _("Noise, HU"), _("Change"), _("Shift, HU"), _("Time")]]
        references = []
        for *cells, reference in reversed(self._rows):  # the newest first
            lines.append(cells)
            references += [f"<br>{cells[0]}: {reference}"] * bool(reference)
        table = "".join(_line(line) for line in lines)
        return f"<table cellspacing='0' cellpadding='2'>{table}</table>{''.join(references).removeprefix('<br>')}"


def _line(cells: list[str]) -> str:
    first, *others = cells
    whole = [cell.replace(" ", "&nbsp;") for cell in others]
    return f"<tr><td>{first}</td>" + "".join(f"<td align='right'>{cell}</td>" for cell in whole) + "</tr>"


def _againstReference(figures: dict[str, Any]) -> str:
    """RMSE, PSNR and SSIM before and after, in a line; empty without a reference."""
    if "window" not in figures:
        return ""
    pairs = {key: _pair(figures["before"][key], figures["after"][key], pattern) for key, pattern in _MEASURES.items()}
    told: str = _("RMSE {rmse} HU; at {window}: PSNR {psnr} dB, SSIM {ssim}").format(
        window=html.escape(str(figures["window"])), **pairs
    )
    return told


_MEASURES = {"rmse": "{:.1f}", "psnr": "{:.1f}", "ssim": "{:.3f}"}


def _pair(before: float | None, after: float | None, pattern: str) -> str:
    return f"{_number(before, pattern)} &rarr; {_number(after, pattern)}"


def _number(value: float | None, pattern: str, digits: int | None = None) -> str:
    if value is None:
        return _NO_FIGURE
    return pattern.format(value if digits is None else round(value, digits) + 0.0)  # + 0.0: there is no "-0.00"
