"""The module's logic as scripts and the Python console use it."""

from __future__ import annotations

import inspect
import re
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from LDCTDenoiseLib import Denoiser
from LDCTDenoiseLib.errors import DenoisingCancelled, InputError, LDCTDenoiseError
from LDCTDenoiseLib.worker.client import JobError
from Testing.slicer.slicer_panel import add_ct, noisy_slices, scene_now, scroll_red_view, voxels_of


def long_volume() -> Any:
    return add_ct(noisy_slices(400, 64), "Long")


def test_process_returns_the_nodes_and_how_it_went(logic: Any, tiny_model: Path) -> None:
    volume = add_ct()
    result = logic.process(volume, None, model=tiny_model, blend=0.7, levels=1, slices=(1, 3), noiseMap="new")
    told = {"slices", "device", "device_reason", "model", "model_hash", "levels", "seconds", "comparison"}
    assert set(result) == {"input", "output", "noiseMap"} | told
    assert (result["input"], result["slices"], result["device"]) == (volume, (1, 3), "cpu")
    assert (result["model"], result["levels"]) == ("tiny", 1)
    assert result["output"].GetName() == "CT denoised"
    np.testing.assert_array_equal(
        voxels_of(result["output"]), Denoiser(tiny_model, "cpu", levels=1, blend=0.7)(voxels_of(volume), slices=(1, 3))
    )
    assert result["comparison"]["noise_before"] == pytest.approx(20, abs=3)


def test_the_window_lives_while_process_waits(logic: Any, tiny_model: Path) -> None:
    import qt

    ticks: list[float] = []
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: ticks.append(time.monotonic()))
    timer.start(10)
    start = time.monotonic()
    logic.process(add_ct(noisy_slices(20, 64)), None, model=tiny_model, batchSize=1)
    duration = time.monotonic() - start
    timer.stop()
    assert len(ticks) > 10 * duration
    assert max(np.diff(ticks)) < 0.5


def test_without_waiting_the_run_is_returned_at_once(logic: Any, tiny_model: Path, slicer_app: Any) -> None:
    volume = long_volume()
    start = time.monotonic()
    run = logic.process(volume, None, model=tiny_model, batchSize=1, wait=False)
    assert time.monotonic() - start < 0.2
    assert run.running
    run.cancel()
    slicer_app.wait_until(lambda: not run.running, 5, "the end")


def test_callbacks_hear_of_progress_and_end_once(logic: Any, tiny_model: Path, slicer_app: Any) -> None:
    heard: list[Any] = []
    run = logic.startProcess(
        add_ct(), None, model=tiny_model, batchSize=1, onProgress=lambda *done: heard.append(done), onFinished=heard.append,
        onFailed=heard.append,
    )  # fmt: skip
    slicer_app.wait_until(lambda: not run.running, 60, "the end")
    assert heard[:-1] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert heard[-1]["output"].GetName() == "CT denoised"


def test_cancel_ends_a_waiting_process_with_its_own_exception(logic: Any, tiny_model: Path) -> None:
    import qt

    volume = long_volume()
    before = scene_now()
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        logic.cancel()

    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.connect("timeout()", press)
    timer.start(300)
    with pytest.raises(DenoisingCancelled):
        logic.process(volume, None, model=tiny_model, batchSize=1)
    assert time.monotonic() - pressed[0] < 2
    assert scene_now() == before
    logic.cancel()  # nothing runs: nothing happens
    assert logic.process(add_ct(), None, model=tiny_model)["output"] is not None


def test_quitting_ends_a_waiting_process(logic: Any, tiny_model: Path, slicer_app: Any) -> None:
    import qt

    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.connect("timeout()", logic.worker.client.shutdown)
    timer.start(300)
    with pytest.raises(DenoisingCancelled):
        logic.process(long_volume(), None, model=tiny_model, batchSize=1)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"model": "nonsense"}, JobError, "There is no model 'nonsense'"),
        ({"levels": 7}, JobError, r"levels"),
        ({"device": "cuda:9"}, JobError, "CUDA cannot be used|There is no cuda:9"),
        ({"device": "abacus"}, JobError, "'abacus' is not a device"),
        ({"precision": "int4"}, JobError, "no precision 'int4'"),
        ({"slices": (3, 9)}, JobError, "does not lie within the volume's 4 slices"),
        ({"batchSize": -1}, JobError, "must be at least 1"),
        ({"blend": 1.5}, LDCTDenoiseError, "from 0 .* to 1"),
        ({"blend": -0.1}, LDCTDenoiseError, "from 0 .* to 1"),
    ],
)
def test_options_out_of_range_are_refused_in_a_sentence(
    logic: Any, tiny_model: Path, options: dict[str, Any], kind: type, words: str
) -> None:
    volume = add_ct()
    logic.process(volume, None, model=tiny_model)  # a model that is loaded already is no way round the checks
    before = scene_now()
    with pytest.raises(kind, match=words):
        logic.process(volume, None, **{"model": str(tiny_model), **options})
    assert scene_now() == before


def test_volumes_that_cannot_be_used_are_refused(logic: Any) -> None:
    import slicer

    with pytest.raises(InputError, match="Choose an input volume"):
        logic.process(None, None)
    model = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", "Surface")
    with pytest.raises(InputError, match="Surface is not a volume"):
        logic.process(model, None)
    with pytest.raises(InputError, match="lies on another grid"):
        logic.process(add_ct(), None, reference=add_ct(noisy_slices(3)))


def test_a_model_file_in_a_folder_of_any_name_is_loaded(logic: Any, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Läufe, 模型 with spaces" / ("long " * 30).strip()
    folder.mkdir(parents=True)
    model = folder / "Größe.safetensors"
    model.write_bytes(tiny_model.read_bytes())
    assert logic.process(add_ct(), None, model=model)["model"] == "Größe"


def test_the_device_report_names_devices_and_why_there_is_no_gpu(logic: Any) -> None:
    import torch

    report = logic.deviceReport()
    assert set(report) == {"torch", "torch_problem", "why_no_cuda", "devices", "threads", "problem", "python", "software"}
    assert report["torch"] == torch.__version__
    assert report["torch_problem"] == ""
    assert report["devices"][-1]["name"] == "cpu"
    assert bool(report["why_no_cuda"]) == (not torch.cuda.is_available())


def test_pytorch_is_not_installed_during_a_run(logic: Any, tiny_model: Path, slicer_app: Any) -> None:
    run = logic.startProcess(long_volume(), None, model=tiny_model, batchSize=1)
    with pytest.raises(LDCTDenoiseError, match="A volume is being denoised"):
        logic.installPyTorch()
    assert slicer_app.installs.torch == []
    run.cancel()
    slicer_app.wait_until(lambda: not run.running, 5, "the end")


def test_installing_pytorch_can_be_declined(logic: Any, slicer_app: Any) -> None:
    slicer_app.messages.answer(False)
    assert logic.installPyTorch() is False
    assert logic.installPyTorch(askConfirmation=False) is True
    assert [install["torchVersionRequirement"] for install in slicer_app.installs.torch] == [">=2.1"]


def documented(logic: Any) -> dict[str, str]:
    """Every example for the console, by the name of what it explains."""
    found = {}
    for name, member in (("class", type(logic)), *inspect.getmembers(type(logic), inspect.isfunction)):
        text = inspect.getdoc(member) or ""
        example = re.search(r"Example for the Python console::\n\n((?: {4}.*\n?|\n)+)", text)
        if example:
            found[name] = textwrap.dedent(example[1])
    return found


def test_every_promised_function_has_an_example_and_the_examples_work(logic: Any, slicer_app: Any) -> None:
    import sys

    import slicer

    examples = documented(logic)
    for name in ("class", "process", "startProcess", "preview", "installPyTorch", "deviceReport"):
        volume = add_ct(noisy_slices(2), "CTChest")
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        scroll_red_view(volume, 1)
        slicer_app.messages.answer(*[True] * (name == "installPyTorch"))
        names = {"slicer": slicer, "LDCTDenoise": sys.modules["LDCTDenoise"], "logic": logic, "volume": volume}
        exec(compile(examples[name], f"example of {name}", "exec"), names)
        slicer_app.wait_until(lambda: logic.worker.run is None or not logic.worker.run.running, 60, name)
        slicer.mrmlScene.Clear(False)
