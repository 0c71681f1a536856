"""The figures of a run as a small table."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

_NO_FIGURE = "&ndash;"


def resultTable(result: dict[str, Any]) -> str:
    """Rich text: noise before and after, shift of the mean, quality against the reference, time and device."""
    figures = result["comparison"]
    rows = [("", _("Before"), _("After"))]
    before, after = figures["noise_before"], figures["noise_after"]
    rows.append((_("Noise SD in soft tissue, HU"), _number(before, "{:.1f}"), _number(after, "{:.1f}")))
    if before:
        rows.append((_("Change of noise"), "", f"{100 * (after / before - 1):+.0f} %"))
    rows.append((_("Mean HU shift"), "", _number(figures["mean_shift"], "{:+.2f}", 2)))
    if "window" in figures:
        window = figures["window"]
        for label, key, pattern in (
            (_("RMSE to reference, HU"), "rmse", "{:.1f}"),
            (_("PSNR at {window}, dB").format(window=window), "psnr", "{:.1f}"),
            (_("SSIM at {window}").format(window=window), "ssim", "{:.3f}"),
        ):
            rows.append((label, *(_number(figures[side][key], pattern) for side in ("before", "after"))))
    rows.append((_("Time"), "", _("{seconds} s").format(seconds=f"{result['seconds']:.1f}")))
    rows.append((_("Device"), "", result["device"]))
    lines = "".join(
        f"<tr><td>{label}</td><td align='right'>{left}</td><td align='right'>{right}</td></tr>" for label, left, right in rows
    )
    return f"<table cellspacing='0' cellpadding='3'>{lines}</table>"


def _number(value: float | None, pattern: str, digits: int | None = None) -> str:
    if value is None:
        return _NO_FIGURE
    return pattern.format(value if digits is None else round(value, digits) + 0.0)  # + 0.0: there is no "-0.00"
