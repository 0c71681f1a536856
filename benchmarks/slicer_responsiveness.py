"""How long the Slicer module blocks the window, and how soon a second Apply computes.

    python -m benchmarks.slicer_responsiveness

Part of make bench; docs/results/slicer_responsiveness.json and its table in docs/performance.md.

The module runs on the stand-in of Slicer (Testing/slicer_standin) with its real worker process, on the CPU, on a volume of
300 slices of which a few are denoised: measured is what the module does around the computation (copies to and from the
worker, output volume, noise map), not the networks. A timer of 5 ms tells how long the event loop stood still. The stand-in
renders nothing: what Slicer's views take comes on top. At the end the lesion test of one slice and its map, with a warm worker.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import report
from LDCTDenoiseLib.simulation.phantom import make_phantom
from Testing.slicer_standin import start_application

RESULTS, DOCUMENT = Path("docs/results/slicer_responsiveness.json"), Path("docs/performance.md")
SHAPE = (300, 512, 512)
FIRST, LAST = 150, 153
LIVER = 164, 228
"""Column and row of a place in the phantom's liver."""
TICK_MS = 5
PATIENCE_S = 600
AIM_BLOCKED_MS = 100
AIM_OVERHEAD_S = 0.5


class Watch:
    """Looks on while a run goes: the longest standstill of the event loop, when the worker began, when each slice was ready.

    What of the longest standstill was work of the window's own thread tells a slow step from a busy machine.
    """

    def __init__(self) -> None:
        from PySide6 import QtCore  # as vtk below: the tables can be made where neither is installed

        self.longest_s = self.longest_work_s = 0.0
        self.began_s = 0.0
        self.slices: list[float] = []
        self._start = self._last = time.perf_counter()
        self._last_work = time.thread_time()
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        now, work = time.perf_counter(), time.thread_time()
        if now - self._last > self.longest_s:
            self.longest_s, self.longest_work_s = now - self._last, work - self._last_work
        self._last, self._last_work = now, work

    def began(self) -> None:
        """The worker has begun to compute."""
        self.began_s = time.perf_counter() - self._start

    def slice_done(self, done: int, _total: int) -> None:
        """A slice is denoised."""
        self.slices += [time.perf_counter() - self._start] * (done - len(self.slices))

    def stop(self) -> None:
        """Stop the clock."""
        self._tick()
        self._timer.stop()


def run(application: Any, widget: Any) -> dict[str, float]:
    """Press Apply, wait for the end, tell what was measured."""
    watch = Watch()
    section = widget.panel.run
    progress, started = section.onProgress, section.onStarted
    section.onProgress = lambda done, total: (watch.slice_done(done, total), progress(done, total))
    section.onStarted = lambda message: (watch.began(), started(message))
    start = time.perf_counter()
    widget.ui.applyButton.click()
    application.wait_until(lambda: not widget.ui.cancelButton.enabled, PATIENCE_S, "the end of the run")
    watch.stop()
    del section.onProgress, section.onStarted
    if not widget.ui.statusLabel.text.startswith("Done"):
        raise RuntimeError(widget.ui.statusLabel.text)
    a_slice = (watch.slices[-1] - watch.slices[0]) / (len(watch.slices) - 1)
    return {
        "longest_standstill_ms": watch.longest_s * 1000,
        "own_work_in_it_ms": watch.longest_work_s * 1000,
        "worker_computes_s": watch.began_s,
        "first_slice_s": watch.slices[0],
        "a_slice_s": a_slice,
        "overhead_before_first_slice_s": watch.slices[0] - a_slice,
        "whole_run_s": time.perf_counter() - start,
    }


def add_volume() -> Any:
    """A volume of the phantom's slice with noise."""
    import slicer

    noise = np.random.default_rng(0).normal(0, 20, SHAPE[1:])
    voxels = np.broadcast_to((make_phantom(1, SHAPE[1]).truth + noise).astype(np.int16), SHAPE)
    volume = slicer.util.addVolumeFromArray(np.ascontiguousarray(voxels), name="CT")
    volume.SetSpacing(0.78, 0.78, 1.0)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume


def lesion_test(application: Any, widget: Any, volume: Any) -> dict[str, float]:
    """Press Test here, then Map of slice, at a point in the phantom's liver; tell how long each took."""
    import slicer
    import vtk

    ui, point = widget.ui, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion")
    widget.panel.node.lesionPoint = point
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    point.AddControlPoint(*matrix.MultiplyPoint((*LIVER, FIRST, 1))[:3])
    slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().SetSliceOffset(matrix.MultiplyPoint((*LIVER, FIRST, 1))[2])
    seconds: dict[str, float] = {}
    for name, button, told in (
        ("lesion_test_s", ui.lesionTestButton, "Disc"),
        ("lesion_map_s", ui.lesionMapButton, "places"),
    ):
        start = time.perf_counter()
        button.click()
        application.wait_until(lambda told=told: told in ui.lesionInfoLabel.text, PATIENCE_S, name)
        seconds[name] = time.perf_counter() - start
    (places,) = re.findall(r"(\d+) places", ui.lesionInfoLabel.text)
    return {**seconds, "lesion_map_places": int(places)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=6, help="the first has a cold worker")
    options = parser.parse_args()
    application = start_application()
    widget = application.load_module("LDCTDenoise/LDCTDenoise.py").widgetRepresentation().self()
    node = widget.panel.node
    node.inputVolume = add_volume()
    widget.ui.noiseMapCheck.checked = True
    node.region, node.firstSlice, node.lastSlice = "range", FIRST, LAST
    node.batchSize, node.device = 1, "cpu"
    runs = [run(application, widget) for _ in range(options.runs)]
    lesion = lesion_test(application, widget, node.inputVolume)
    if application.exceptions:
        raise application.exceptions[0]
    application.quit()

    print(f"{' x '.join(map(str, SHAPE))} int16, {LAST - FIRST + 1} slices denoised, noise map made; first run: cold worker")
    for name in runs[0]:
        print(f"{name:32}" + "".join(f"{one[name]:9.3f}" for one in runs))
    worst = max(one["longest_standstill_ms"] for one in runs)
    # The median: the difference of two times of computation is only as quiet as the machine.
    overhead = statistics.median(one["overhead_before_first_slice_s"] for one in runs[1:])
    print(f"longest standstill of the event loop: {worst:.0f} ms (aim {AIM_BLOCKED_MS})")
    print(f"warm worker, Apply to first slice beyond the slice's own time, median: {overhead:.2f} s (aim {AIM_OVERHEAD_S})")
    print("lesion test {lesion_test_s:.1f} s, map of {lesion_map_places:.0f} places {lesion_map_s:.1f} s".format(**lesion))
    figures = {"longest_standstill_ms": worst, "warm_overhead_s": overhead, "lesion": lesion, "runs": runs}
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    report.write_tables(figures, DOCUMENT, {"slicer": table})


def table(figures: dict[str, Any]) -> list[str]:
    """The table for the document."""
    runs, lesion = figures["runs"], figures["lesion"]
    warm = [one["overhead_before_first_slice_s"] for one in runs[1:]]
    rows = [
        [
            f"longest standstill of the window in {len(runs)} runs (aim {AIM_BLOCKED_MS})",
            f"{figures['longest_standstill_ms']:.0f} ms",
        ],
        [
            "Apply to the first slice, cold worker, beyond the slice's own time",
            f"{runs[0]['overhead_before_first_slice_s']:.1f} s",
        ],
        [
            f"the same with a warm worker: median, least to most (aim {AIM_OVERHEAD_S})",
            f"{figures['warm_overhead_s']:.2f} s, {min(warm):.2f} to {max(warm):.2f} s",
        ],
        ["the slice's own time, median", f"{statistics.median(one['a_slice_s'] for one in runs):.1f} s"],
        ["lesion test", f"{lesion['lesion_test_s']:.1f} s"],
        [f"map of {lesion['lesion_map_places']} places", f"{lesion['lesion_map_s']:.1f} s"],
    ]
    return report.table(["on a volume of " + " x ".join(map(str, SHAPE)), ""], rows)


if __name__ == "__main__":
    main()
