"""Draws the rooms of the code and which of them import which, for docs/architecture.md.

make architecture
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from itertools import pairwise
from pathlib import Path

import grimp
import networkx as nx

PICTURE = Path(__file__).parent / "images" / "architecture.svg"
PANEL = "LDCTDenoiseModuleLib"
NOT_ROOMS = ("__main__", "version")
BOX = (132, 40)
STEP = (164, 84)
MARGIN = 16
SWEEPS = 24
STYLE = (
    "text{font:600 15px system-ui,sans-serif;fill:#1b1f24}rect{fill:#e8f0fa;stroke:#4a78b0;stroke-width:1.5}"
    ".panel rect{fill:#e9f5e4;stroke:#5b9a41}path{fill:none;stroke:#7d8590;stroke-width:1.6}"
)


def room_of(module: str) -> str:
    """The room of a module: the package below the library, or the Slicer module as a whole; "" for the library itself."""
    package, *inner = module.split(".")
    return package if package == PANEL else "".join(inner[:1])


def imports() -> nx.DiGraph:
    """Which rooms import which, without those imports that follow from others."""
    code = grimp.build_graph("LDCTDenoiseLib", PANEL, cache_dir=None)
    rooms = nx.DiGraph()
    for module in sorted(code.modules):
        for imported in sorted(code.find_modules_directly_imported_by(module)):
            upper, lower = room_of(module), room_of(imported)
            if upper and lower and upper != lower and not {upper, lower} & set(NOT_ROOMS):
                rooms.add_edge(upper, lower)
    return nx.transitive_reduction(rooms)


def floors(rooms: nx.DiGraph) -> dict[str, int]:
    """The floor of each room: one above the highest that it imports."""
    height: dict[str, int] = {}
    for room in reversed(list(nx.lexicographical_topological_sort(rooms))):
        height[room] = 1 + max((height[lower] for lower in rooms[room]), default=-1)
    return height


def places(rooms: nx.DiGraph, height: dict[str, int]) -> tuple[dict[str, float], list[list[str]]]:
    """Columns for rooms and for the bends of lines that pass a floor, and each line's way, by Sugiyama's method."""
    where = dict(height)
    lines = []
    for upper, lower in sorted(rooms.edges):
        way = [upper, *(f"{upper}>{lower}@{floor}" for floor in range(height[upper] - 1, height[lower], -1)), lower]
        where |= {bend: height[upper] - step for step, bend in enumerate(way)}
        lines.append(way)
    near: dict[str, list[str]] = {name: [] for name in where}
    for way in lines:
        for one, other in pairwise(way):
            near[one].append(other)
            near[other].append(one)
    rows = [sorted(name for name in where if where[name] == floor) for floor in range(max(where.values()) + 1)]
    column = {name: float(index) for row in rows for index, name in enumerate(row)}
    best = dict(column)
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 else rows[::-1]:
            row.sort(key=lambda name: (sum(column[other] for other in near[name]) / len(near[name]), name))
            wanted = [sum(column[other] for other in near[name]) / len(near[name]) for name in row]
            _spread(row, wanted, column)
        if _length(lines, column) < _length(lines, best):
            best = dict(column)
    least = min(best.values())
    return {name: place - least for name, place in best.items()}, lines


def _spread(row: list[str], wanted: list[float], column: dict[str, float]) -> None:
    """Put a floor's rooms as near as can be to where they want to be, one column apart."""
    place = -float("inf")
    for name, want in zip(row, wanted, strict=True):
        place = max(want, place + 1)
        column[name] = place
    shift = sum(column[name] - want for name, want in zip(row, wanted, strict=True)) / len(row)
    for name in row:
        column[name] -= shift


def _length(lines: list[list[str]], column: dict[str, float]) -> float:
    return sum(abs(column[one] - column[other]) for way in lines for one, other in pairwise(way))


def draw() -> str:
    """The picture as SVG: rooms above those that they import."""
    rooms = imports()
    height = floors(rooms)
    column, lines = places(rooms, height)
    top = max(height.values())

    def middle(name: str) -> float:
        return MARGIN + column[name] * STEP[0] + BOX[0] / 2

    def y_of(floor: int) -> float:
        return MARGIN + (top - floor) * STEP[1]

    drawn = [_line(way, height[way[0]], middle, y_of) for way in lines]
    for name in sorted(height):
        x, y = middle(name) - BOX[0] / 2, y_of(height[name])
        title = "Slicer panel" if name == PANEL else name
        drawn.append(
            f'<g class="{"panel" if name == PANEL else "room"}">'
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="6"/>'
            f'<text x="{middle(name):.0f}" y="{y + BOX[1] / 2 + 5:.0f}" text-anchor="middle">{escape(title)}</text></g>'
        )
    width = max(middle(name) for name in column) + BOX[0] / 2 + MARGIN
    tall = y_of(0) + BOX[1] + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {tall:.0f}" role="img">\n'
        "<title>The rooms of the code; each imports those below it to which a line leads, and what these import</title>\n"
        f'<style>{STYLE}</style>\n<rect width="100%" height="100%" style="fill:#fff;stroke:none"/>\n'
        + "".join(part + "\n" for part in drawn)
        + "</svg>\n"
    )


def _line(way: list[str], floor: int, middle: Callable[[str], float], y_of: Callable[[int], float]) -> str:
    """A smooth line from the bottom of a room to the top of another, through its bends."""
    points = [(middle(way[0]), y_of(floor) + BOX[1])]
    for step, bend in enumerate(way[1:-1], start=1):
        points += [(middle(bend), y_of(floor - step)), (middle(bend), y_of(floor - step) + BOX[1])]
    points.append((middle(way[-1]), y_of(floor - len(way) + 1)))
    path = f"M{points[0][0]:.0f} {points[0][1]:.0f}"
    for (x0, y0), (x1, y1) in zip(points[::2], points[1::2], strict=True):
        half = (y0 + y1) / 2
        path += f" L{x0:.0f} {y0:.0f} C{x0:.0f} {half:.0f} {x1:.0f} {half:.0f} {x1:.0f} {y1:.0f}"
    return f'<path d="{path}"/>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
