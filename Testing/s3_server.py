"""An S3 server on this machine for tests (moto), and a line to it that can be cut."""

from __future__ import annotations

import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from Testing.orthanc_server import free_ports

KEY, SECRET = "AKIAZEBRAFISHKEY", "zebrafish-secret"
_DEADLINE_SECONDS = 60


@contextmanager
def s3_server(folder: Path, unchecked_requests: int | None = None) -> Iterator[str]:
    """Run a server and yield its address.

    Args:
        folder: for its log.
        unchecked_requests: after so many it looks at credentials and what they allow; None is never.
    """
    (port,) = free_ports(1)
    environment = os.environ | {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    if unchecked_requests is not None:
        environment["INITIAL_NO_AUTH_ACTION_COUNT"] = str(unchecked_requests)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _DEADLINE_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise AssertionError("the S3 server did not start")


class Line:
    """A line to a server of this machine.

    Args:
        port: the server's.

    Attributes:
        up_bytes: sent to the server so far.
        cut_after: at so many bytes sent to the server, the line breaks, and takes no more calls; None is never.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.up_bytes = 0
        self.cut_after: int | None = None

    @property
    def is_cut(self) -> bool:
        return self.cut_after is not None and self.up_bytes >= self.cut_after

    @contextmanager
    def open(self) -> Iterator[int]:
        """Yield the line's own port."""
        line = self

        class Pass(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if line.is_cut:
                    return
                with suppress(OSError), socket.create_connection(("127.0.0.1", line._server_port)) as server:
                    back = threading.Thread(target=_copy, args=(server, self.request), daemon=True)
                    back.start()
                    while block := self.request.recv(4096):
                        line.up_bytes += len(block)
                        if line.is_cut:
                            server.shutdown(socket.SHUT_RDWR)
                            return
                        server.sendall(block)
                    server.shutdown(socket.SHUT_WR)
                    back.join()

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pass) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
