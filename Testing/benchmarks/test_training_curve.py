"""The training curve: a panel for each kind of column, and a sentence where there is nothing to draw."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import training_curve
from LDCTDenoiseLib.errors import InputError


def test_steps_without_a_value_and_other_columns_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,minutes,loss,gain_db_dose_0.25\n60,1.5,0.8,3.9\n120,3,0.7,\n", encoding="utf-8")
    assert training_curve.read_curves(path) == {"loss": ([60, 120], [0.8, 0.7]), "gain_db_dose_0.25": ([60], [3.9])}


def test_runs_with_different_columns_share_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("step,loss,signal_kept_20_hu_4_mm\n60,0.8,0.9\n120,0.7,0.8\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("step,loss\n100,0.6\n", encoding="utf-8")
    out = tmp_path / "curve.png"
    monkeypatch.setattr(sys, "argv", ["x", "--out", str(out), f"a={tmp_path / 'a.csv'}", f"b={tmp_path / 'b.csv'}"])
    training_curve.main()
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["", "step,minutes\n60,1\n", "loss\n0.5\n"])
def test_a_file_with_nothing_to_draw_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"m\.csv has no lines with step"):
        training_curve.read_curves(tmp_path / "m.csv")
