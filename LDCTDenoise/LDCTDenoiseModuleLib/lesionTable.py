"""The figures of a lesion test as a small table."""

from __future__ import annotations

import math
from typing import Any

from slicer.i18n import tr as _


def lesionTable(result: dict[str, Any]) -> str:
    """Rich text: for each disc the signal that is kept, the noise there and the contrast-to-noise, before and after."""
    lines = [_line([_("Disc"), _("Signal kept"), _("Noise, HU"), _("CNR")])]
    lines += [
        _line(
            [
                _("{diameter} mm").format(diameter=f"{answer['diameter']:g}"),
                f"{100 * answer['signal_kept']:.0f} %",
                _pair(answer["noise_before"], answer["noise_after"], "{:.1f}"),
                _pair(answer["cnr_before"], answer["cnr_after"], "{:.1f}"),
            ]
        )
        for answer in result["answers"]
    ]
    title = _("{contrast} HU in slice {index}").format(contrast=f"{result['answers'][0]['contrast']:+g}", index=result["slice"])
    return f"{title}<table cellspacing='0' cellpadding='2'>{''.join(lines)}</table>"


def mapText(result: dict[str, Any]) -> str:
    """What a map says, in two sentences."""
    told: str = _("Signal kept: {median} (least {least}) at {count} places.").format(
        median=_percent(result["signal_kept"]["median"]), least=_percent(result["signal_kept"]["least"]), count=result["places"]
    )
    if result["noise_left"]:
        told += " " + _("Noise left: {median} (most {most}).").format(
            median=_percent(result["noise_left"]["median"]), most=_percent(result["noise_left"]["most"])
        )
    return told


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _pair(before: float | None, after: float | None, pattern: str) -> str:
    return f"{_number(before, pattern)} &rarr; {_number(after, pattern)}"


def _number(value: float | None, pattern: str) -> str:
    return "&ndash;" if value is None or math.isnan(value) else pattern.format(value)


def _line(cells: list[str]) -> str:
    first, *others = cells
    whole = [cell.replace(" ", "&nbsp;") for cell in others]
    return f"<tr><td>{first}</td>" + "".join(f"<td align='right'>{cell}</td>" for cell in whole) + "</tr>"
