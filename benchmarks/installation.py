"""What an installation costs: download, disk, seconds to the first denoised file, start-up and memory; in fresh environments.

    python -m benchmarks.installation

The base, and the base with the extra ``torch``, one after the other. Figures: docs/results/installation.json, and the table
in docs/performance.md, unless --no-document.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import SimpleITK as sitk

from benchmarks.speed import machine, report, startup
from benchmarks.speed.methods import noisy_slices

REPOSITORY = Path(__file__).parent.parent
RESULTS = Path("docs/results/installation.json")
DOCUMENT = Path("docs/performance.md")
INSTALLATIONS = {"base": "", "with torch": "[torch]"}
SIDE, TINY = 512, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--no-document", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args()
    machine.warn_if_busy()
    figures = {name: measure(extra, options.repeats) for name, extra in INSTALLATIONS.items()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n".join(table(figures)))
    if not options.no_document:
        report.write_tables(figures, DOCUMENT, {"installation": table})


def measure(extra: str, repeats: int) -> dict[str, float]:
    """The figures of one installation, by what stands before them in the table."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        images = {side: place / f"{side}.nrrd" for side in (SIDE, TINY)}
        for side, path in images.items():
            sitk.WriteImage(sitk.GetImageFromArray(noisy_slices(1, side)), str(path))
        environment = place / "environment"
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        empty = _mib(environment)
        start = time.perf_counter()
        pip = [environment / "bin" / "pip", "install", "--no-cache-dir", "-c", REPOSITORY / "constraints.txt"]
        done = subprocess.run([*pip, f"{REPOSITORY}{extra}"], check=True, capture_output=True, text=True, env=_environment())
        command = [environment / "bin" / "ldctdenoise", "denoise"]
        out = place / "out.nrrd"
        _run([*command, images[SIDE], out])
        first_file = time.perf_counter() - start
        units = {"kB": 1e-3, "MB": 1, "GB": 1e3}
        sizes = re.findall(r"Downloading \S+ \(([\d.]+) (kB|MB|GB)\)", done.stdout)
        local = [Path(path) for path in re.findall(r"Processing (\S+\.whl)", done.stdout)]  # from an index on this machine
        runs = [_run([*command, images[SIDE], out, "--overwrite", "--quiet"]) for _ in range(repeats)]
        starts = [_run([*command, images[TINY], out, "--overwrite", "--quiet"]) for _ in range(repeats)]
        python = str(environment / "bin" / "python")
        workers = [startup.until_denoised("auto", python=python) for _ in range(repeats)]
        return {
            "download, MB": sum(float(number) * units[unit] for number, unit in sizes)
            + sum(path.stat().st_size for path in local if path.is_file()) / 1e6,
            "disk beside an empty environment, MiB": _mib(environment) - empty,
            "pip install to the first denoised file, s": first_file,
            f"denoise a slice of {SIDE} x {SIDE}, s": statistics.median(run["seconds"] for run in runs),
            f"denoise a slice of {SIDE} x {SIDE}, CPU s": statistics.median(run["cpu"] for run in runs),
            f"of these start-up (a slice of {TINY} x {TINY}), CPU s": statistics.median(run["cpu"] for run in starts),
            "worker's first slice, s": statistics.median(workers),
            "peak memory of denoise, MiB": max(run["memory"] for run in runs),
        }


def table(figures: dict[str, Any]) -> list[str]:
    """The table for the document."""
    names = list(next(iter(figures.values())))
    return report.table(
        ["", *figures],
        [[name, *(f"{one[name]:.0f}" if one[name] >= 100 else f"{one[name]:.2f}" for one in figures.values())] for name in names],
    )


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _run(command: list[object]) -> dict[str, float]:
    """Seconds, CPU seconds and MiB at the peak of a process."""
    start = time.perf_counter()
    words = [str(word) for word in command]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return {
        "seconds": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / 1024,
    }


def _mib(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


if __name__ == "__main__":
    main()
