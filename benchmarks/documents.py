"""The figures of README, docs/install.md and docs/safety.md, written from the files that they come from.

    python -m benchmarks.documents

``make figures`` and ``make bench`` end with it, and a test fails when a figure is out of date. Quality comes from the shipped
model's metadata, costs from docs/results/installation.json and bare_root.json, seconds a slice from docs/performance.md.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path

from benchmarks.speed import report
from LDCTDenoiseLib.models.model_file import read_model

REPOSITORY = Path(__file__).parent.parent
INSTALLATION, BARE_ROOT = "docs/results/installation.json", "docs/results/bare_root.json"
PERFORMANCE = "docs/performance.md"
DOCUMENTS = {"README.md": ("costs", "quality"), "docs/install.md": ("costs",), "docs/safety.md": ("phantom",)}
DEBIAN = {"bookworm": 12, "trixie": 13}
ENGINE = "engine, openvino"
"""The row of docs/performance.md with what computes on a CPU."""


def costs() -> list[str]:
    """Download, disk and time of the installations."""
    installed = json.loads((REPOSITORY / INSTALLATION).read_text(encoding="utf-8"))
    bare = json.loads((REPOSITORY / BARE_ROOT).read_text(encoding="utf-8"))
    rows = [
        [
            f"`pip install`, {name}",
            f"{one['download, MB']:.0f} MB",
            f"{one['disk beside an empty environment, MiB'] * 2**20 / 1e6:.0f} MB",
            f"{one['pip install to the first denoised file, s']:.0f} s to the first denoised file",
        ]
        for name, one in installed.items()
    ]
    rows += [
        [f"`make {target}` on a bare Debian {DEBIAN[suite]}", "", f"{one['venv_mb']} MB", f"{one['cpu_seconds']:.0f} s of CPU"]
        for suite, targets in bare.items()
        for target, one in targets.items()
    ]
    memory = installed["base"]["peak memory of denoise, MiB"] * 2**20 / 1e6
    rows.append(
        ["a slice of 512 x 512, both levels, on two cores", "", f"{memory:.0f} MB of memory", f"{seconds_a_slice():.2g} s"]
    )
    return report.table(["", "download", "disk", "time"], rows)


def seconds_a_slice() -> float:
    """The median of the last ``make bench``."""
    page = (REPOSITORY / PERFORMANCE).read_text(encoding="utf-8")
    return float(re.findall(rf"^\| {re.escape(ENGINE)} \| ([\d.]+) \(", page, re.MULTILINE)[0])


def quality() -> list[str]:
    """Gains of the shipped model and of the best tuned filter, and in how many cases it is better than all filters."""
    metrics = read_model().info.metrics
    rows = [dict(zip(metrics["columns"], row, strict=True)) for row in metrics["rows"]]
    levels = sorted({row["method"] for row in rows if row["method"].startswith("level ")})
    filters = list(dict.fromkeys(row["method"] for row in rows if row["method"] not in ("input", *levels)))
    table = []
    for dose in dict.fromkeys(row["dose"] for row in rows):
        gains = {
            name: [float(row["gain, dB"]) for row in rows if row["dose"] == dose and row["method"] == name]
            for name in (*levels, *filters)
        }
        best = max(filters, key=lambda name: statistics.mean(gains[name]))
        titles = dict.fromkeys(levels, "the first networks") | {levels[0]: "first network alone", levels[-1]: "whole cascade"}
        for name, title in (titles | {best: f"{best}, tuned: the best of {len(filters)} filters"}).items():
            table.append([dose, title, f"{statistics.mean(gains[name]):.1f} dB", f"{min(gains[name]):.1f} dB"])
    cases = list(dict.fromkeys((row["volume"], row["kernel"], row["dose"]) for row in rows))
    volumes, kernels = ({case[place] for case in cases} for place in (0, 1))
    rmse, ssim = (_better(rows, cases, levels[-1], filters, start) for start in ("RMSE", "SSIM"))
    perfect = ", ".join(
        f"{10 * math.log10(1 / float(dose) - 1):.1f} dB at dose {dose}" for dose in dict.fromkeys(case[2] for case in cases)
    )
    return [
        *report.table(["dose", "method", "mean gain in PSNR at C50/W400", "lowest"], table),
        "",
        f"Means over {len(volumes)} patients and {len(kernels)} kernels, against the scans themselves with their own noise "
        f"(`{metrics['command']}`); in flat tissue",
        f"a perfect image would gain {perfect}. The whole cascade has a lower RMSE than every",
        f"tuned filter in {rmse} of {len(cases)} cases, and a higher SSIM in {ssim}.",
    ]


def _better(rows: list[dict[str, str]], cases: list[tuple[str, ...]], level: str, filters: list[str], measure: str) -> int:
    """In how many cases a level is better than every filter, by the first column whose name begins so."""
    column = next(name for name in rows[0] if name.startswith(measure))
    sign = -1 if measure == "RMSE" else 1
    count = 0
    for case in cases:
        found = {row["method"]: sign * float(row[column]) for row in rows if (row["volume"], row["kernel"], row["dose"]) == case}
        count += all(found[level] > found[name] for name in filters)
    return count


def phantom() -> list[str]:
    """What the whole cascade does to edges and noise of the phantom, as shares of the input's figures."""
    found = read_model().info.metrics.get("phantom")
    if found is None:
        return ["The shipped model's card has no figures on the phantom yet; `make figures` measures them."]
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    names = [name for name in found["columns"] if name.startswith("TTF50") or name == "NPS mean frequency"]
    last = max(row["method"] for row in rows if row["method"].startswith("level "))
    chosen = [row for row in rows if row["method"] == last]
    return report.table(["phantom, dose", *names], [[row["dose"], *(row[name] for name in names)] for row in chosen])


TABLES: dict[str, Callable[[], list[str]]] = {"costs": costs, "quality": quality, "phantom": phantom}


def rewrite(text: str, names: tuple[str, ...]) -> str:
    """A document with its figures as they are now."""
    return report.with_tables(text, {name: TABLES[name]() for name in names})


def main() -> None:
    for name, tables in DOCUMENTS.items():
        path = REPOSITORY / name
        path.write_text(rewrite(path.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
