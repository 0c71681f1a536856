"""Speed, memory and start-up of the engine, side by side with other ways, in one run; writes docs/performance.md's tables.

    make bench

Everything is held against matrix products measured in the same run, method by method in turn; figures are medians with least and
most. Results: docs/results/engine_speed.json, its tables in docs/performance.md and its plot; with --no-document figures and plot
go into benchmarks/results/, and the documents stay as they are.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import time
from pathlib import Path

from benchmarks.speed import growth, machine, memory, methods, profile, rates, report, startup
from LDCTDenoiseLib import load_model
from LDCTDenoiseLib.inference.backends import onednn
from LDCTDenoiseLib.system.devices import choose_device

RESULTS = Path("docs/results/engine_speed.json")
DOCUMENT = Path("docs/performance.md")
PLOT = Path("docs/images/engine_speed.png")
TRIAL = Path("benchmarks/results")
REPEATS = 9
"""Enough that the order of two methods does not change from run to run on a quiet machine."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--no-document", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    device = choose_device(options.device)
    machine.warn_if_busy()
    start = time.perf_counter()
    cascade, _ = load_model()
    figures: report.Figures = {
        "date": datetime.date.today().isoformat(),
        "repeats": options.repeats,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan"),
        "levels": len(cascade.levels),
        "machine": machine.describe(device),
    }
    fast = onednn.has_bfloat16() and onednn.is_usable()
    precisions = ["float16", "bfloat16"] if device.type == "cuda" else ["float32", *(["bfloat16"] if fast else [])]
    parts = {
        "rates": lambda: rates.measure(
            methods.engines(device) | methods.references(device) | methods.classics(), device, options.repeats
        ),
        "growth": lambda: growth.measure(device, options.repeats),
        "memory": lambda: memory.measure(device),
        "startup": lambda: startup.measure(device, options.repeats),
        "profile": lambda: [profile.measure(device, precision) for precision in precisions],
    }
    for name, measure in parts.items():
        figures[name] = measure()
        print(f"{name}: done after {time.perf_counter() - start:.0f} s", flush=True)
    figures["minutes"] = (time.perf_counter() - start) / 60

    results, plot = (TRIAL / RESULTS.name, TRIAL / PLOT.name) if options.no_document else (RESULTS, PLOT)
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(figures, indent=2) + "\n")
    report.draw(figures, plot)
    for name, table in report.TABLES.items():
        print("\n".join(["", f"## {name}", *table(figures)]))
    if not options.no_document:
        report.write_tables(figures, DOCUMENT)


if __name__ == "__main__":  # processes that it starts import it
    main()
