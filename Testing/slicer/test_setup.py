"""Device and setup: what the panel says of PyTorch and the GPU, and how packages get installed in Slicer 5.12 and 5.10."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from Testing.slicer.slicer_panel import Panel, Traces, add_ct

FAKE_GPU = """
import LDCTDenoiseLib.system.devices as devices
devices.why_no_cuda = lambda: ""
devices.list_devices = lambda: [
    {"name": "cuda:0", "label": "cuda:0 Fake GPU, 24 GiB"},
    {"name": "cuda:1", "label": "cuda:1 Fake GPU, 8 GiB"},
    {"name": "cpu", "label": "cpu (2 threads)"},
]
"""

FAKES = {
    "missing": ("raise ModuleNotFoundError('no torch', name='torch')", "PyTorch is not installed; a GPU needs it"),
    "old": ("__version__ = '1.13.1+cpu'", "PyTorch 1.13.1+cpu is too old: 2.1 or newer is needed"),
    "broken": ("raise OSError('c10.dll is missing')", "PyTorch cannot be loaded (c10.dll is missing); a GPU needs it"),
}


def open_setup(panel: Panel) -> str:
    panel.ui.setupSection.collapsed = False
    panel.wait_for(lambda: panel.ui.torchInfoLabel.text not in ("", "Asking..."), "the report")
    return panel.ui.torchInfoLabel.text


def devices_of(panel: Panel) -> list[str]:
    combo = panel.ui.deviceCombo
    return [combo.itemText(index) for index in range(combo.count)]


def test_opening_the_section_asks_the_worker_without_blocking(panel: Panel) -> None:
    assert panel.ui.setupSection.collapsed
    panel.ui.setupSection.collapsed = False
    assert panel.ui.torchInfoLabel.text == "Asking..."
    told = open_setup(panel)
    assert told.startswith(torch.__version__)
    if not torch.cuda.is_available():
        assert "CUDA: no, " in told
    assert devices_of(panel)[0] == "Auto"
    assert devices_of(panel)[-1].startswith("cpu (")
    assert panel.ui.deviceCombo.currentText == "Auto"
    worker = panel.worker.client.pid
    panel.ui.setupSection.collapsed = True
    panel.ui.setupSection.collapsed = False
    panel.ui.checkButton.click()
    open_setup(panel)
    assert panel.worker.client.pid == worker


def test_each_gpu_is_offered_by_name_and_memory_and_the_choice_stays(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAKE_GPU)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "CUDA: yes" in open_setup(panel)
    assert devices_of(panel) == ["Auto", "cuda:0 Fake GPU, 24 GiB", "cuda:1 Fake GPU, 8 GiB", "cpu (2 threads)"]
    panel.pick_text("deviceCombo", "cuda:1 Fake GPU, 8 GiB")
    assert panel.parameters.device == "cuda:1"
    panel.ui.checkButton.click()
    open_setup(panel)
    assert panel.ui.deviceCombo.currentText == "cuda:1 Fake GPU, 8 GiB"


def test_why_the_gpu_is_not_used_is_said_after_every_run(panel: Panel) -> None:
    from LDCTDenoiseLib.system.devices import why_no_cuda

    panel.pick("inputSelector", add_ct())
    panel.denoise()
    if why_no_cuda():
        assert panel.ui.deviceInfoLabel.text == f"Computed on cpu, because {why_no_cuda()}."


def test_the_log_of_the_worker_is_shown(panel: Panel) -> None:
    panel.pick("inputSelector", add_ct())
    panel.denoise()
    assert "Device: cpu" in panel.ui.logText.plainText


def test_pytorch_is_installed_through_its_extension_and_seen_at_once(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('no torch', name='torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert open_setup(panel).startswith("PyTorch is not installed; a GPU needs it: press Install PyTorch")
    assert [name.partition(" ")[0] for name in devices_of(panel)] == ["Auto", "cpu"]
    worker = panel.worker.client.pid
    monkeypatch.delenv("PYTHONPATH")  # what the installation changes
    panel.app.messages.answer(True)
    panel.ui.installButton.click()
    assert open_setup(panel).startswith(torch.__version__)
    assert panel.worker.client.pid != worker
    assert panel.app.installs.torch == [
        {
            "askConfirmation": True,
            "forceComputationBackend": None,
            "torchVersionRequirement": ">=2.1",
            "torchvisionVersionRequirement": None,
        }
    ]


@pytest.mark.parametrize("kind", FAKES)
def test_without_a_good_pytorch_the_panel_denoises_on_the_cpu_and_offers_it(
    panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    code, words = FAKES[kind]
    (tmp_path / "torch.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    panel.pick("inputSelector", add_ct())
    panel.denoise()
    assert panel.ui.deviceInfoLabel.text.startswith("Computed on cpu, because ")
    assert words in open_setup(panel)
    monkeypatch.delenv("PYTHONPATH")
    panel.app.messages.answer(True)
    panel.ui.installButton.click()
    panel.wait_for(lambda: "CUDA: " in panel.ui.torchInfoLabel.text, "the report of the new PyTorch")
    panel.denoise()


def test_a_declined_or_failed_installation_is_said(panel: Panel) -> None:
    panel.app.messages.answer(False)
    panel.ui.installButton.click()
    assert panel.ui.torchInfoLabel.text == "PyTorch was not installed."
    panel.app.installs.fail = True
    panel.app.messages.answer(True)
    panel.ui.installButton.click()
    assert panel.ui.torchInfoLabel.text.startswith("PyTorch could not be installed (")


def test_without_the_pytorch_extension_the_panel_says_where_to_get_it(panel: Panel) -> None:
    panel.app.set_pytorch_extension(False)
    panel.ui.installButton.click()
    assert "The PyTorch extension is missing; install it in the Extensions Manager" in panel.ui.torchInfoLabel.text


def test_a_missing_package_is_installed_on_apply_after_asking(panel: Panel) -> None:
    panel.app.installs.absent.add("safetensors")
    panel.pick("inputSelector", add_ct())
    panel.app.messages.answer(True)
    panel.denoise()
    assert panel.app.installs.commands == ["safetensors>=0.4"]
    assert "LDCTDenoise" in panel.app.messages[0].title


@pytest.mark.parametrize("fails", [False, True], ids=["declined", "failed"])
def test_a_package_that_is_not_installed_is_named_with_what_to_type(panel: Panel, fails: bool) -> None:
    panel.app.installs.absent.add("safetensors")
    panel.app.installs.fail = fails
    panel.pick("inputSelector", add_ct())
    panel.app.messages.answer(fails)
    panel.apply()
    assert not panel.running
    assert "slicer.util.pip_install('safetensors>=0.4 openvino>=2024.4')" in panel.status
    panel.app.messages.answer(fails)
    panel.ui.previewButton.click()
    assert "slicer.util.pip_install('safetensors>=0.4 openvino>=2024.4')" in panel.ui.previewInfoLabel.text
    assert not panel.ui.previewButton.checked


def test_in_slicer_5_10_the_panel_asks_itself(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.app.set_version(5, 10)
    panel.pick("inputSelector", add_ct())
    panel.denoise()  # nothing is missing, nothing is asked
    assert panel.app.messages.texts("question") == []
    monkeypatch.setitem(sys.modules, "safetensors", None)
    panel.app.messages.answer(False)
    panel.apply()
    assert "needs the Python packages safetensors>=0.4. Install them now?" in panel.app.messages.texts("question")[-1]
    assert "slicer.util.pip_install('safetensors>=0.4 openvino>=2024.4')" in panel.status
    assert panel.app.installs.commands == []
    panel.app.messages.answer(True)
    panel.denoise()
    assert panel.app.installs.commands == ["safetensors>=0.4"]
    panel.app.installs.fail = True
    panel.app.messages.answer(True)
    panel.apply()
    assert "Python packages are needed that were not installed" in panel.status


def test_in_testing_mode_nothing_is_installed_or_asked(panel: Panel) -> None:
    panel.app.set_testing_mode(True)
    panel.app.installs.absent.add("safetensors")
    panel.pick("inputSelector", add_ct())
    panel.denoise()
    assert panel.app.installs.commands == []
    assert panel.app.messages.texts("question") == []


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_worker_runs_in_slicers_own_python_and_dies_with_its_launcher(
    panel: Panel, traces: Traces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PythonSlicer is a launcher that starts the real process: the kill has to reach both."""
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/calls"\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    panel.start_long_run()
    assert (tmp_path / "calls").read_text() == "-m LDCTDenoiseLib.worker\n"
    started = {process.pid: process.cmdline() for process in traces.processes()}
    assert len(started) == 2
    assert any(str(launcher) in command for command in started.values())
    assert panel.worker.client.pid in started
    panel.worker.shutdown()
    panel.wait()
    traces.assert_none()
