"""The Tab key in a real bash completes commands, options and their values."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from Testing.conftest import REPOSITORY

SCRIPTS = Path(sys.executable).parent
PROMPT = "ready> "

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("bash") and (SCRIPTS / "register-python-argcomplete").exists()),
        reason="no bash, or argcomplete (the extra completion) is not installed",
    ),
    pytest.mark.skipif(not Path("/dev/ptmx").exists() or not Path("/dev/pts/ptmx").exists(), reason="no terminals (devpts)"),
]


class Bash:
    """An interactive bash in a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self._terminal, theirs = pty.openpty()
        environment = {"PATH": f"{SCRIPTS}:{os.environ['PATH']}", "PS1": PROMPT, "TERM": "dumb", "HOME": str(folder)}
        environment |= {"PYTHONPATH": str(REPOSITORY), "INPUTRC": "/dev/null"}
        command = ["bash", "--norc", "--noprofile", "-i"]
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder, start_new_session=True
        )
        os.close(theirs)
        self.until(PROMPT)

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def until(self, text: str, seconds: float = 60) -> str:
        """What is printed until a text is among it."""
        seen, end = "", time.monotonic() + seconds
        while text not in seen:
            assert time.monotonic() < end, f"{text!r} did not come; the terminal shows {seen!r}"
            if select.select([self._terminal], [], [], 0.5)[0]:
                seen += os.read(self._terminal, 4096).decode()
        return seen

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._terminal)


@pytest.fixture
def bash(tmp_path: Path) -> Iterator[Bash]:
    shell = Bash(tmp_path)
    shell.type('eval "$(register-python-argcomplete ldctdenoise)"; echo do""ne\n')
    shell.until(f"done\r\n{PROMPT}")
    yield shell
    shell.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("ldctdenoise sim\t", "ldctdenoise simulate "),
        ("ldctdenoise simulate --do\t", "ldctdenoise simulate --dose "),
        ("ldctdenoise denoise --backend op\t", "ldctdenoise denoise --backend openvino "),
        ("ldctdenoise data ind\t", "ldctdenoise data index "),
        ("ldctdenoise denoise sca\t", "ldctdenoise denoise scan.nrrd "),
    ],
)
def test_tab_completes(bash: Bash, tmp_path: Path, typed: str, completed: str) -> None:
    (tmp_path / "scan.nrrd").touch()
    bash.type(typed)
    bash.until(completed)
