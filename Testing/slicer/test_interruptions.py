"""A run that does not come to its end: cancelled, its scene or volumes gone, its worker killed, hanging or without PyTorch.

Each time the panel says what happened, the scene is as it was, and the next Apply works.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from Testing.slicer.slicer_panel import Panel, Traces, add_ct, exchange_folders, noisy_slices, scene_now, voxels_of

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
INTERRUPTED_S = 10


def wait(panel: Panel) -> str:
    return panel.wait(INTERRUPTED_S)


def assert_works_again(panel: Panel) -> None:
    """Nothing of the interrupted run is left, and a small volume is denoised."""
    assert not exchange_folders()
    panel.pick("inputSelector", add_ct(name="Next"))
    panel.pick("outputSelector", None)
    panel.ui.noiseMapCheck.checked = False
    panel.pick("referenceSelector", None)
    assert panel.denoise().GetName() == "Next denoised"


def start_with_all_volumes(panel: Panel) -> dict[str, object]:
    """A long run with existing output, noise map and reference."""
    voxels = noisy_slices(400, 64)
    nodes = {
        "outputSelector": add_ct(name="Old output"),
        "referenceSelector": add_ct(voxels, "Normal dose"),
    }
    for selector, node in nodes.items():
        panel.pick(selector, node)
    noise = add_ct(name="Old noise map")
    panel.want_noise_map(noise)
    return {**nodes, "noise map": noise, "inputSelector": panel.start_long_run()}


def test_cancel_halfway_leaves_the_scene_as_it_was_and_the_worker_ready(panel: Panel) -> None:
    start_with_all_volumes(panel)
    worker = panel.worker.client.pid
    before = scene_now()
    pressed = time.monotonic()
    panel.ui.cancelButton.click()
    assert panel.status == "Cancelling..."
    assert wait(panel) == "Cancelled; nothing was changed."
    assert time.monotonic() - pressed < 2
    assert scene_now() == before
    assert panel.worker.client.pid == worker
    assert panel.ui.progressBar.isHidden()
    assert not panel.ui.compareButton.enabled
    assert_works_again(panel)
    assert panel.worker.client.pid == worker


@posix
def test_cancel_ends_a_worker_that_does_not_listen_within_two_seconds(panel: Panel) -> None:
    panel.start_long_run()
    os.kill(panel.worker.client.pid, signal.SIGSTOP)
    before = scene_now()
    pressed = time.monotonic()
    panel.ui.cancelButton.click()
    assert wait(panel) == "Cancelled; nothing was changed."
    assert time.monotonic() - pressed < 2
    assert scene_now() == before
    assert_works_again(panel)


def test_cancel_counts_even_when_the_result_is_there_already(panel: Panel) -> None:
    panel.pick("inputSelector", add_ct())
    panel.denoise()
    panel.ui.strengthSlider.value = 50
    panel.apply()
    before = scene_now()
    panel.wait_for(lambda: panel.worker.client.busy or not panel.running, "the job")
    time.sleep(0.5)  # the worker answers while the window is busy
    panel.ui.cancelButton.click()
    assert wait(panel) == "Cancelled; nothing was changed."
    assert scene_now() == before


def test_cancel_before_the_first_slice(panel: Panel) -> None:
    panel.pick("inputSelector", add_ct())
    before = scene_now()
    panel.apply()
    panel.ui.cancelButton.click()
    assert wait(panel) == "Cancelled; nothing was changed."
    assert scene_now() == before
    assert_works_again(panel)


def test_closing_the_scene_ends_the_run(panel: Panel) -> None:
    panel.start_long_run()
    panel.app.close_scene()
    assert wait(panel) == "The scene was closed during the run; nothing was changed."
    import slicer

    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []
    assert not panel.ui.applyButton.enabled
    assert_works_again(panel)


@pytest.mark.parametrize("selector", ["inputSelector", "outputSelector", "noise map", "referenceSelector"])
def test_deleting_a_volume_of_the_run_ends_it(panel: Panel, selector: str) -> None:
    import slicer

    nodes = start_with_all_volumes(panel)
    before = scene_now()
    gone = nodes[selector].GetID()
    slicer.mrmlScene.RemoveNode(nodes[selector])
    assert wait(panel) == "A volume of this run was deleted while it was going on; nothing was changed."
    now = scene_now()
    assert now == {nodeID: told for nodeID, told in before.items() if nodeID in now}
    assert gone not in now
    assert_works_again(panel)


def test_deleting_another_volume_does_not_disturb_the_run(panel: Panel) -> None:
    import slicer

    other = add_ct(name="Other")
    panel.start_long_run(10)
    slicer.mrmlScene.RemoveNode(other)
    assert panel.wait() == "Done: Long denoised, on cpu."


@posix
def test_a_worker_killed_from_outside_gives_a_message_with_its_log_and_the_next_apply_a_fresh_one(panel: Panel) -> None:
    panel.start_long_run()
    before = scene_now()
    worker = panel.worker.client.pid
    os.kill(worker, signal.SIGKILL)
    status = wait(panel)
    assert status.startswith("The computation's process ended unexpectedly (")
    assert "Press Apply to try again with a fresh one." in status
    assert "The last lines of its log:\n" in status
    assert "Device: cpu" in status
    assert "Device: cpu" in panel.ui.logText.plainText
    assert scene_now() == before
    assert_works_again(panel)
    assert panel.worker.client.pid != worker


@posix
def test_a_worker_that_hangs_is_ended_with_a_message(panel: Panel) -> None:
    panel.start_long_run()
    before = scene_now()
    panel.worker.client._silence_s = 2
    os.kill(panel.worker.client.pid, signal.SIGSTOP)
    assert "The computation has not answered for 2 s and was stopped. Press Apply" in wait(panel)
    assert scene_now() == before
    panel.worker.client._silence_s = 120
    assert_works_again(panel)


def test_a_full_temporary_disk_is_said_before_anything_is_computed(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 10**6, 10**6)
    panel.pick("inputSelector", add_ct(noisy_slices(40, 256)))
    before = scene_now()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        panel.apply()
        status = wait(panel)
    assert "has not enough space: 5 MB are needed and 1 MB are free" in status
    assert scene_now() == before
    assert_works_again(panel)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_disk_that_fills_up_while_it_is_written_is_said_too(panel: Panel) -> None:
    import resource

    panel.pick("inputSelector", add_ct(noisy_slices(10, 1024)))
    before = scene_now()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10 * 2**20, limits[1]))
    try:
        panel.apply()
        status = wait(panel)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "has not enough space: 21 MB are needed" in status
    assert scene_now() == before
    assert_works_again(panel)


def test_a_scripts_callback_that_fails_ends_the_run_with_its_error(panel: Panel) -> None:
    volume = add_ct()
    failures: list[Exception] = []

    def broken(done: int, total: int) -> None:
        raise ZeroDivisionError("the script's own mistake")

    run = panel.widget.logic.startProcess(volume, None, onProgress=broken, onFailed=failures.append)
    panel.wait_for(lambda: not run.running, "the end of the run")
    assert isinstance(failures[0], ZeroDivisionError)


def test_reloading_the_module_during_a_run_ends_it_quietly(panel: Panel, traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("LDCTDenoiseLib", "LDCTDenoiseModuleLib")]:
        monkeypatch.setitem(sys.modules, name, sys.modules[name])  # comes back after the test
    panel.start_long_run()
    before = scene_now()
    old = panel.widget
    panel.app.reload_module(panel.entry)
    traces.assert_none()
    assert panel.widget is not old
    assert panel.widget.logic.worker is not old.logic.worker
    assert not panel.running
    panel.app.process_events(0.2)
    assert scene_now() == before
    assert panel.ui.inputSelector.currentNode().GetName() == "Long"
    assert panel.ui.batchSpin.value == 1
    assert_works_again(panel)


def test_quitting_during_a_run_leaves_no_process_and_no_file(panel: Panel, traces: Traces) -> None:
    panel.start_long_run()
    assert traces.processes()
    assert exchange_folders()
    panel.app.quit()
    traces.assert_none()


def test_quitting_during_a_preview_and_a_report_leaves_nothing(panel: Panel, traces: Traces) -> None:
    panel.pick("inputSelector", add_ct(noisy_slices(4, 512)))
    panel.ui.previewButton.click()
    panel.ui.setupSection.collapsed = False
    panel.app.process_events(0.3)
    assert traces.processes()
    panel.app.quit()
    traces.assert_none()


def test_a_run_goes_on_while_another_module_is_shown(panel: Panel) -> None:
    volume = panel.start_long_run(10)
    panel.outer.exit()
    panel.wait_for(lambda: panel.status.startswith("Done"), "the end of the run")
    panel.outer.enter()
    assert not panel.running
    assert panel.ui.compareButton.enabled
    output = panel.parameters.outputVolume
    assert output.GetName() == "Long denoised"
    assert output.GetNodeReferenceID("LDCTDenoise.Source") == volume.GetID()


def test_a_run_that_is_going_on_is_seen_again_when_the_panel_comes_back(panel: Panel) -> None:
    panel.start_long_run()
    panel.outer.exit()
    panel.app.process_events(0.1)
    panel.outer.enter()
    assert panel.running
    assert not panel.ui.applyButton.enabled
    panel.ui.cancelButton.click()
    assert wait(panel) == "Cancelled; nothing was changed."


def test_choosing_another_input_during_a_run_does_not_mix_them_up(panel: Panel) -> None:
    other = add_ct(name="Other")
    volume = panel.start_long_run(10)
    panel.pick("inputSelector", other)
    assert panel.wait() == "Done: Long denoised, on cpu."
    assert panel.parameters.outputVolume is None
    panel.ui.compareButton.click()
    import slicer

    shown = slicer.app.layoutManager().sliceWidget("LDCTInput").mrmlSliceCompositeNode()
    assert shown.GetBackgroundVolumeID() == volume.GetID()


def test_one_run_at_a_time(panel: Panel) -> None:
    from LDCTDenoiseLib.errors import WorkerError

    volume = panel.start_long_run()
    with pytest.raises(WorkerError, match="being denoised already"):
        panel.widget.logic.process(volume, None)
    assert panel.running
    panel.widget.logic.cancel()
    assert wait(panel) == "Cancelled; nothing was changed."


def test_the_voxels_may_change_during_a_run_without_harm(panel: Panel) -> None:
    """A filter that replaces the input's image: the run took its copy and keeps it."""
    import slicer
    import vtk

    volume = panel.start_long_run(10)
    voxels = voxels_of(volume)
    volume.SetAndObserveImageData(vtk.vtkImageData())
    slicer.app.processEvents()
    assert panel.wait() == "Done: Long denoised, on cpu."
    assert voxels_of(panel.parameters.outputVolume).shape == voxels.shape
