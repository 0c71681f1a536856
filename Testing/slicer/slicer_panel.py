"""The module on the stand-in of Slicer, driven as a person drives it, and proof that nothing is left behind."""

from __future__ import annotations

import html
import importlib
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from LDCTDenoiseLib.worker.exchange import PREFIX
from Testing.slicer_standin import start_application
from Testing.slicer_standin.fixtures import reason_to_skip

if TYPE_CHECKING:
    from Testing.slicer_standin.application import Application

MODULE = Path(__file__).parents[2] / "LDCTDenoise" / "LDCTDenoise.py"
_MARK = "LDCTDENOISE_TEST"
RUN_S = 60
"""A run with a cold worker on a busy machine."""


def noisy_slices(slices: int = 4, size: int = 48, dtype: Any = np.int16) -> np.ndarray:
    """Soft tissue with noise of 20 HU beside air."""
    voxels = np.random.default_rng(0).normal(40, 20, (slices, size, size)).round()
    voxels[:, :6] = -1000
    return voxels.astype(dtype)


def add_ct(voxels: np.ndarray | None = None, name: str = "CT", spacing: tuple[float, float, float] = (0.7, 0.8, 2.5)) -> Any:
    """A volume node with a window of its own, in the place and orientation that a scanner gives it."""
    import slicer

    node = slicer.util.addVolumeFromArray(noisy_slices() if voxels is None else voxels, name=name)
    node.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)
    node.SetSpacing(*spacing)
    node.SetOrigin(20, 30, -500)
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(350, 40)
    return node


def add_sequence(frames: list[np.ndarray], index_values: list[str]) -> tuple[Any, Any]:
    """A 4D CT in a sequence browser: (browser, shown volume)."""
    import slicer

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D CT")
    sequence.SetIndexName("phase")
    sequence.SetIndexUnit("%")
    for voxels, value in zip(frames, index_values, strict=True):
        frame = add_ct(voxels, f"frame {value}")
        sequence.SetDataNodeAtValue(frame, value)
        slicer.mrmlScene.RemoveNode(frame)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Breathing")
    browser.AddSynchronizedSequenceNode(sequence)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(sequence)
    shown.CreateDefaultDisplayNodes()
    return browser, shown


def voxels_of(node: Any) -> np.ndarray:
    import slicer

    return np.array(slicer.util.arrayFromVolume(node))


def scroll_red_view(volume: Any, index: int) -> None:
    """Show a slice of a volume of :func:`add_ct` in the Red view."""
    import slicer

    node = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    node.SetOrientationToAxial()
    node.SetSliceOffset(volume.GetOrigin()[2] + index * volume.GetSpacing()[2])


def scene_now() -> dict[str, Any]:
    """What a user would miss if it changed: the nodes, and the voxels, place and attributes of the volumes."""
    import slicer
    import vtk

    seen: dict[str, Any] = {}
    for index in range(slicer.mrmlScene.GetNumberOfNodes()):
        node = slicer.mrmlScene.GetNthNode(index)
        seen[node.GetID()] = told = [node.GetName()]
        if node.IsA("vtkMRMLVolumeNode"):
            matrix = vtk.vtkMatrix4x4()
            node.GetIJKToRASMatrix(matrix)
            place = [matrix.GetElement(row, column) for row in range(3) for column in range(4)]
            attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
            told += [place, attributes, voxels_of(node).tobytes() if node.GetImageData() else None]
    return seen


class Panel:
    """The module's panel in a running application; names are those of the .ui file."""

    def __init__(self, app: Application, model: Path | None) -> None:
        self.app = app
        self.entry = app.load_module(MODULE)
        if model is not None:
            self.parameters.model = str(model)

    @property
    def outer(self) -> Any:
        return self.entry.widgetRepresentation()

    @property
    def widget(self) -> Any:
        return self.outer.self()

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def parameters(self) -> Any:
        return self.widget.panel.node

    @property
    def worker(self) -> Any:
        return self.widget.logic.worker

    @property
    def status(self) -> str:
        """What the panel says, as it is read: without the places where long words may be broken."""
        return self.ui.statusLabel.text.replace("\u200b", "")

    @property
    def running(self) -> bool:
        return self.ui.cancelButton.enabled

    @property
    def table(self) -> list[list[str]]:
        """Cells of the result table, row by row, the newest result first below the titles."""
        rows = re.findall(r"<tr>(.*?)</tr>", self.ui.resultLabel.text)
        cells = [[html.unescape(cell).replace("\xa0", " ") for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]
        return [row for row in cells if row[0]]

    def want_noise_map(self, node: Any = None) -> None:
        """Tick the noise map; into a node that is there already, or a new one."""
        self.ui.noiseMapCheck.checked = True
        self.parameters.noiseMap = node

    def pick(self, selector: str, node: Any) -> None:
        """Choose a node, or None, from a selector's list with the mouse."""
        widget = getattr(self.ui, selector)
        entry = ("node", node.GetID()) if node is not None else ("none", None)
        widget._activated(vars(widget)["_items"].index(entry))

    def pick_text(self, combo: str, text: str) -> None:
        """Choose an entry of a plain combo box with the mouse."""
        widget = getattr(self.ui, combo)
        index = widget.findText(text)
        assert index >= 0, f"{combo} does not offer '{text}'"
        widget.setCurrentIndex(index)
        widget.activated(index)

    def apply(self) -> None:
        assert self.ui.applyButton.enabled
        self.ui.applyButton.click()

    def wait(self, seconds: float = RUN_S) -> str:
        """Until the run has ended; returns the status line."""
        self.app.wait_until(lambda: not self.running, seconds, "the end of the run")
        return self.status

    def denoise(self) -> Any:
        """Apply, wait, and the output node; anything but success fails the test."""
        self.apply()
        assert self.wait().startswith("Done: "), self.status
        return self.parameters.outputVolume

    def wait_for(self, condition: Callable[[], Any], what: str, seconds: float = RUN_S) -> None:
        self.app.wait_until(condition, seconds, what)

    def start_long_run(self, slices: int = 400) -> Any:
        """A run of many small batches, waited for until some slices are done; returns the input."""
        volume = add_ct(noisy_slices(slices, 64), "Long")
        self.pick("inputSelector", volume)
        self.ui.batchSpin.value = 1
        self.apply()
        self.wait_for_slices(3)
        return volume

    def wait_for_slices(self, count: int) -> None:
        self.wait_for(lambda: self.ui.progressBar.value >= count or not self.running, f"{count} slices")
        assert self.running, self.status


def processes(mark: str) -> list[psutil.Process]:
    """Processes that inherited a mark, wherever they hang in the tree; zombies do not count."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.pid != os.getpid() and process.environ().get(_MARK) == mark
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # gone meanwhile, or another user's
            continue
    return found


def exchange_folders() -> list[Path]:
    """Folders with voxels in the stand-in's temporary folder."""
    import slicer

    return list(Path(slicer.app.temporaryPath).glob(f"{PREFIX}*"))


class Traces:
    """What a test started, and whether it is gone."""

    def __init__(self, mark: str) -> None:
        self._mark = mark

    def processes(self) -> list[psutil.Process]:
        return processes(self._mark)

    def assert_none(self, seconds: float = 2.0) -> None:
        deadline = time.monotonic() + seconds
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not self.processes(), "a worker is left"
        assert not exchange_folders(), "voxels are left in the temporary folder"


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """After the session has ended, no process and no temporary file of this test is left."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    mark = uuid.uuid4().hex
    monkeypatch.setenv(_MARK, mark)
    traces = Traces(mark)
    yield traces
    traces.assert_none()


@pytest.fixture
def panel(traces: Traces, slicer_app: Application, tiny_model: Path) -> Panel:
    """The panel with a small, fast model and a worker of its own."""
    return Panel(slicer_app, tiny_model)


@pytest.fixture(scope="module")
def one_worker() -> Iterator[list[Any]]:
    """Keeps one worker for all tests of a file, who append their logic; none is left at its end."""
    with pytest.MonkeyPatch.context() as patch:
        mark = uuid.uuid4().hex
        patch.setenv(_MARK, mark)
        logics: list[Any] = []
        yield logics
        if logics:
            logics[-1].shutdown()
            Traces(mark).assert_none()


@pytest.fixture
def worker_waits(one_worker: list[Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The worker outlives a test's session, to save its start; but no job and no voxels do."""
    if reason := reason_to_skip():
        pytest.skip(reason)
    start_application()
    sys.path.insert(0, str(MODULE.parent))
    process = importlib.import_module("LDCTDenoiseModuleLib.workerProcess")
    with monkeypatch.context() as patch:
        patch.setattr(process.Worker, "shutdown", lambda self, *_: None)
        yield
    assert not process.sharedWorker().client.busy, "a job is still being done"
    assert not exchange_folders(), "voxels are left in the temporary folder"


@pytest.fixture
def warm_panel(worker_waits: None, one_worker: list[Any], slicer_app: Application, tiny_model: Path) -> Panel:
    """The panel with a small, fast model and the worker of the test before."""
    panel = Panel(slicer_app, tiny_model)
    one_worker.append(panel.widget.logic)
    return panel


@pytest.fixture
def logic(worker_waits: None, one_worker: list[Any], slicer_app: Application) -> Any:
    """The module's logic as a script uses it, without a panel, and the worker of the test before."""
    module = slicer_app.load_module(MODULE, panel=False).python_module
    one_worker.append(module.LDCTDenoiseLogic())
    return one_worker[-1]
