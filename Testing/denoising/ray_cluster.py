"""A Ray cluster of this machine for tests, with a head that is ended by its own process number."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]


class Cluster:
    """A head with some cores.

    Attributes:
        address: for ``--address``.
    """

    def __init__(self, process: subprocess.Popen[bytes], address: str) -> None:
        self._process = psutil.Process(process.pid)
        self.address = address

    def workers(self) -> list[psutil.Process]:
        """Processes of this program's workers."""
        return [one for one in self._process.children(recursive=True) if _title(one).startswith("ray::_Actor")]


def _title(process: psutil.Process) -> str:
    try:
        return (process.cmdline() or [""])[0]
    except psutil.Error:
        return ""


_TOKEN = secrets.token_hex(32)


def environment() -> dict[str, str]:
    """For all processes of a cluster; a token of its own keeps others' drivers out, and the home folder as it is."""
    told = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return {**os.environ, **told, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}


@contextmanager
def ray_cluster(cores: int) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # a socket's path may have 107 characters
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    options = {"port": port, "num-cpus": cores, "include-dashboard": "false", "object-store-memory": 100 * 2**20}
    command += [f"--{name}={value}" for name, value in options.items()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--temp-dir={folder}"], stdout=log, stderr=log, env=environment(), start_new_session=True
        )
    try:
        end = time.monotonic() + 120
        while b"Ray runtime started" not in (folder / "log").read_bytes():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.5)
        yield Cluster(process, f"127.0.0.1:{port}")
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(60)
        _, alive = psutil.wait_procs(children, 30)
        for one in alive:
            one.kill()
        shutil.rmtree(folder, ignore_errors=True)
