"""Loading the module: no PyTorch, no installation and no network, in a process where each of them would raise."""

from __future__ import annotations

import subprocess
import sys

from Testing.slicer.slicer_panel import MODULE
from Testing.slicer_standin.fixtures import reason_to_skip

POISONED = f"""
import socket, subprocess, sys

sys.path.insert(0, {str(MODULE.parent.parent)!r})
for name in ("torch", "safetensors", "skimage", "openvino", "torchvision"):
    sys.modules[name] = None

def refused(*arguments, **keywords):
    raise AssertionError("the module reaches for the network or starts a process")

class NoSocket(socket.socket):
    def __init__(self, family=socket.AF_INET, *arguments, **keywords):
        refused()

from Testing.slicer_standin import start_application
app = start_application()
app.set_pytorch_extension(False)  # PyTorchUtils cannot be imported
socket.socket = NoSocket
socket.create_connection = socket.getaddrinfo = refused
subprocess.Popen.__init__ = refused
import qt
qt.QProcess.start = refused

entry = app.load_module({str(MODULE)!r}, panel=False)
assert entry.title == "LDCT Denoise" and "PyTorch" in entry.helpText
assert not app.exceptions, app.exceptions
print("loaded")
panel = entry.widgetRepresentation()
panel.show()
panel.enter()
ui = panel.self().ui
assert ui.modelCombo.currentText == "default" and ui.modelInfoLabel.text
app.process_events(0.3)
assert not app.exceptions, app.exceptions
assert app.installs.commands == [] and app.installs.torch == [] and list(app.messages) == []
print("shown")
"""


def test_the_module_loads_and_shows_its_panel_without_pytorch_network_or_processes() -> None:
    import pytest

    if reason := reason_to_skip():
        pytest.skip(reason)
    done = subprocess.run([sys.executable, "-c", POISONED], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["loaded", "shown"], done.stderr
    assert done.returncode == 0, done.stderr
