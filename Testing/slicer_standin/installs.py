"""What modules asked to have installed, and what a test makes of it."""

from __future__ import annotations

import re
import subprocess


class Installs:
    """``commands``: what pip was called with; ``torch``: keywords of each call of installTorch."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.commands: list[str] = []
        self.torch: list[dict[str, object]] = []
        self.fail = False  # the next installs fail
        self.absent: set[str] = set()  # packages that are to count as not installed

    def pip(self, command: str) -> None:
        """What ``pip install`` does: CalledProcessError where the test wants it to fail, else the packages are there."""
        self.commands.append(command)
        if self.fail:
            raise subprocess.CalledProcessError(1, f"pip install {command}")
        self.absent -= {re.split(r"[<>=!~\[; ]", word)[0] for word in command.split()}


installs = Installs()
