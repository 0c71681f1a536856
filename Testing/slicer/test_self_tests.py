"""LDCTDenoiseTest, which Slicer itself runs: both ways that it has, with PyTorch and without."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from Testing.slicer.slicer_panel import MODULE, Panel, Traces

if TYPE_CHECKING:
    from Testing.slicer_standin.application import Application


def test_every_method_passes_as_ctest_runs_them(traces: Traces, slicer_app: Application) -> None:
    module = slicer_app.load_module(MODULE).python_module
    slicer_app.set_testing_mode(True)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(module.LDCTDenoiseTest)
    assert suite.countTestCases() >= 6
    result = unittest.TestResult()
    suite.run(result)
    assert [problem for _case, problem in (*result.errors, *result.failures)] == []
    assert result.skipped == []
    assert result.testsRun == suite.countTestCases()


def test_reload_and_test_passes(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    test = panel.entry.python_module.LDCTDenoiseTest
    assert "runTest" not in vars(test), "Slicer's own runTest is the one that Reload and Test calls"
    names = test().moduleTestNames
    assert all(name.startswith("test_") for name in names), "runTest would take a helper for a test"
    seen: list[str] = []

    def counted(name: str) -> Callable:
        original = getattr(test, name)
        return lambda self: (seen.append(name), original(self))

    for name in names:
        monkeypatch.setattr(test, name, counted(name))
    slicer.selfTests["LDCTDenoise"]()
    assert seen == names


def test_where_nothing_computes_the_tests_are_skipped_visibly(
    traces: Traces, slicer_app: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = sys.modules['openvino'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    module = slicer_app.load_module(MODULE).python_module
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(module.LDCTDenoiseTest).run(result)
    assert len(result.skipped) == result.testsRun > 0
    assert result.wasSuccessful()
    assert all("PyTorch is not installed" in reason for _case, reason in result.skipped)
    assert slicer_app.messages.texts("delay")[0].startswith("Skipped: PyTorch is not installed")
