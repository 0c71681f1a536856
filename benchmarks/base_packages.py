"""Where the disk of the base installation goes, by package; in a fresh environment.

    python -m benchmarks.base_packages

Figures: docs/results/base_packages.json, and the table in docs/performance.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.installation import DOCUMENT, REPOSITORY
from benchmarks.speed import report

RESULTS = Path("docs/results/base_packages.json")
SMALL_MIB = 5
_SIZES = """
import importlib.metadata, json, os
sizes = {}
for one in importlib.metadata.distributions():
    places = {os.path.realpath(file.locate()) for file in one.files or () if os.path.exists(file.locate())}
    sizes[one.name] = sum(os.path.getsize(place) for place in places) / 2**20
print(json.dumps(sizes))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        before = _sizes(environment)
        pip = [environment / "bin" / "pip", "install", "--no-cache-dir", "--no-compile", "-c", REPOSITORY / "constraints.txt"]
        subprocess.run([*pip, REPOSITORY], check=True, stdout=subprocess.DEVNULL)
        figures = {name: round(size, 1) for name, size in _sizes(environment).items() if name not in before}
    RESULTS.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
    report.write_tables(figures, DOCUMENT, {"packages": table})
    print("\n".join(table(figures)))


def table(figures: dict[str, float]) -> list[str]:
    """The packages by size; the small ones in one row."""
    large = sorted((name for name, size in figures.items() if size >= SMALL_MIB), key=lambda name: -figures[name])
    small = sum(size for name, size in figures.items() if name not in large)
    rows = [[name, f"{figures[name]:.0f}"] for name in large]
    rows += [[f"{len(figures) - len(large)} smaller ones", f"{small:.0f}"], ["all", f"{sum(figures.values()):.0f}"]]
    return report.table(["package of the base", "MiB"], rows)


def _sizes(environment: Path) -> dict[str, float]:
    """MiB of the files of each package."""
    result = subprocess.run(
        [environment / "bin" / "python", "-B", "-c", _SIZES], check=True, capture_output=True, text=True, cwd=environment
    )
    return {name: float(size) for name, size in json.loads(result.stdout).items()}


if __name__ == "__main__":
    main()
