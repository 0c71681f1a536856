"""The figures as tables of docs/performance.md, and as a plot."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


def write_tables(figures: Figures, document: Path, tables: dict[str, Callable[[Figures], list[str]]] | None = None) -> None:
    """Put the tables into the document."""
    lines = {name: make(figures) for name, make in (tables or TABLES).items()}
    document.write_text(with_tables(document.read_text(encoding="utf-8"), lines), encoding="utf-8")


def with_tables(text: str, tables: dict[str, list[str]]) -> str:
    """A document whose lines between the markers ``<!-- table: NAME -->`` and ``<!-- end -->`` are those given."""
    for name, lines in tables.items():
        pattern = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"The document has no place for the table {name}.")
        text = pattern.sub(lambda found, lines=lines: found[1] + "\n".join(lines) + "\n" + found[2], text)
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown, line by line."""
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def _spread(values: dict[str, float], digits: int = 3) -> str:
    median, least, most = (f"{values[key]:.{digits}g}" for key in ("median", "min", "max"))
    return f"{median} ({least} to {most})"


def _machine(figures: Figures) -> list[str]:
    machine = figures["machine"]
    packages = ", ".join(f"{name} {version or 'not installed'}" for name, version in machine["packages"].items())
    lines = [
        f"- processor: {machine['processor']}; {', '.join(machine['instructions'])}; {machine['threads']} threads",
        f"- {machine['system']}; {packages}",
        f"- run: {figures['date']}, {figures['minutes']:.1f} minutes, {figures['repeats']} repeats; "
        f"load of the machine at the start {figures['load']:.1f}",
    ]
    return lines + ([f"- GPU: {machine['gpu']}"] if "gpu" in machine else [])


def _rates(figures: Figures) -> list[str]:
    rates = figures["rates"]
    products = list(rates["products"])
    rows = [[name, "", f"{_spread(rate)} GFLOP/s", *[""] * len(products)] for name, rate in rates["products"].items()]
    for name, one in rates["methods"].items():
        speed = f"{_spread(one['gflops'])} GFLOP/s" if "gflops" in one else ""
        shares = [_spread(one["share"][product], 2) if "share" in one else "" for product in products]
        rows.append([name, _spread(one["seconds"]), speed, *shares])
    return table(["", "s per slice", "rate", *[f"share of {name}" for name in products]], rows)


def _by_number(key: str, unit: str) -> Callable[[Figures], list[str]]:
    def make(figures: Figures) -> list[str]:
        growth = figures["growth"][key]
        numbers = list(next(iter(growth.values()), {}))
        rows = [[name, *(f"{values[number]['median']:.3g}" for number in numbers)] for name, values in growth.items()]
        return table([f"seconds, by {unit}", *map(str, numbers)], rows)

    return make


def _memory(figures: Figures) -> list[str]:
    memory = dict(figures["memory"])
    few, many, volumes = memory.pop("few_slices"), memory.pop("many_slices"), memory.pop("volumes")
    head = ["peak, MiB", "model loaded", f"{few} slices", f"{many} slices", f"of these input and output of {many}"]
    keys = ("start", "few", "many")
    return table(head, [[name, *(f"{one[key]:.0f}" for key in keys), f"{volumes:.0f}"] for name, one in memory.items()])


def _startup(figures: Figures) -> list[str]:
    rows = [[name, f"{one['cold']:.2f}", _spread(one["warm"], 2)] for name, one in figures["startup"].items()]
    return table(["seconds", "cold", "warm"], rows)


def _profile(figures: Figures) -> list[str]:
    columns = figures["profile"]
    kinds = list(dict.fromkeys(kind for one in columns for kind in one["shares"]))
    rows = [[kind, *(f"{one['shares'].get(kind, 0):.1%}" for one in columns)] for kind in kinds]
    if all(one["outside"] is not None for one in columns):
        rows.append(["the engine around the networks, of the whole", *(f"{one['outside']:.1%}" for one in columns)])
    return table(["share of the time", *(one["precision"] for one in columns)], rows)


def _roofline(figures: Figures) -> list[str]:
    one, products = figures["profile"][0], figures["rates"]["products"]
    flop, moved, bandwidth = one["flop_per_slice_and_level"], one["bytes_per_slice_and_level"], one["bandwidth"]
    rows = [
        [f"{flop / 1e9:.1f} GFLOP at the rate of the {name}", f"{1e3 * flop / (rate['median'] * 1e9):.0f}"]
        for name, rate in products.items()
    ]
    traffic = f"{moved / 1e9:.2f} GB of float32 at {bandwidth / 1e9:.1f} GB/s"
    rows.append([f"least traffic, {traffic}", f"{1e3 * moved / bandwidth:.0f}"])
    for name, method in figures["rates"]["methods"].items():
        if name.startswith("engine"):
            rows.append([f"measured: {name}", f"{1e3 * method['seconds']['median'] / figures['levels']:.0f}"])
    return table(["a level of a 512 x 512 slice", "ms"], rows)


TABLES: dict[str, Callable[[Figures], list[str]]] = {
    "machine": _machine,
    "rates": _rates,
    "slices": _by_number("slices", "slices"),
    "sides": _by_number("sides", "side of one slice"),
    "threads": _by_number("threads", "threads, one slice of 512 x 512"),
    "memory": _memory,
    "startup": _startup,
    "profile": _profile,
    "roofline": _roofline,
}


def draw(figures: Figures, path: Path) -> None:
    """A plot: seconds per slice of every method, and growth with slices, matrix and threads."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(13, 9), layout="constrained")
    bars, slices, sides, threads = axes.ravel()
    methods = figures["rates"]["methods"]
    medians = [one["seconds"]["median"] for one in methods.values()]
    reach = [
        [median - one["seconds"]["min"] for median, one in zip(medians, methods.values(), strict=True)],
        [one["seconds"]["max"] - median for median, one in zip(medians, methods.values(), strict=True)],
    ]
    colours = ["tab:blue" if name.startswith("engine") else "tab:grey" for name in methods]
    bars.barh(list(methods), medians, xerr=reach, color=colours)
    bars.set(xlabel="seconds for a slice of 512 x 512 (median, least to most)", xscale="log")
    bars.invert_yaxis()
    side = figures["growth"]["side_of_many_slices"]
    for axis, key, label in (
        (slices, "slices", f"slices of {side} x {side}"),
        (sides, "sides", "side of one slice, px"),
        (threads, "threads", "threads, one slice of 512 x 512"),
    ):
        for name, values in figures["growth"][key].items():
            axis.plot([int(n) for n in values], [one["median"] for one in values.values()], "o-", label=name)
        axis.set(xlabel=label, ylabel="seconds", xscale="log", yscale="log")
        axis.grid(which="both", alpha=0.3)
        if figures["growth"][key]:
            axis.legend()
    figure.savefig(path, dpi=90)
    plt.close(figure)
