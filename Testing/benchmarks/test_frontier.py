"""The frontier: pairs are found, and a model's line leads from the input through its own point."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks import frontier


@pytest.mark.usefixtures("few_places")
def test_every_candidate_is_judged_on_every_low_dose(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    full = np.full((3, 96, 96), 50.0)
    for name, noise in (("a_full", 5), ("a_d25", 20), ("a_d10", 40)):
        image = sitk.GetImageFromArray(np.rint(full + rng.normal(0, noise, full.shape)).astype(np.int16))
        image.SetSpacing((0.8, 0.8, 5.0))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    out = tmp_path / "new" / "results"
    given = ["--pairs", str(tmp_path), "--models", str(tiny_model), "--baselines", "median", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["frontier", *given])
    frontier.main()
    with (out / f"frontier_{tmp_path.name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["pair"] for row in rows} == {"a_d25", "a_d10"}
    assert {row["candidate"] for row in rows} > {"median"}
    strongest = [row for row in rows if row["candidate"] == "median" and row["how"] == "radius 3"]
    assert all(float(row["noise left, 90th percentile"]) < 0.4 for row in strongest)
    assert all(float(row["processor seconds a slice"]) > 0 for row in rows)
    weakest = [row for row in rows if row["candidate"] == "median" and row["how"] == "radius 1"]
    for weak, strong in zip(weakest, strongest, strict=True):
        assert 0 < float(strong["NPS mean frequency, per cm"]) < float(weak["NPS mean frequency, per cm"])
    assert (out / f"frontier_{tmp_path.name}.png").read_bytes().startswith(b"\x89PNG")
