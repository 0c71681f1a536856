"""Run a batch on a Ray cluster: a worker on each GPU keeps its model, and an item whose worker dies is tried on another.

The driver takes items from the list as workers get free, so that no more than a few for each worker are in its memory. What is
done is known by the records alone: a driver that is killed is started again and goes on.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...errors import Code, DeviceError, LDCTDenoiseError, as_sentence, code_of, counted
from ...system.extras import require_extra
from .attempt import Outcome
from .items import Item
from .one_item import Status

log = logging.getLogger(__name__)

DEATHS = 3
"""An item whose workers died so often is not tried again: once, and twice on another worker."""
_LOOK_SECONDS = 1.0
_COUNT_WORKERS_SECONDS = 10.0
_END_SECONDS = 20.0
_CONNECT_SECONDS = 10.0
_UNREACHABLE = "Ray cannot be reached at {} ({}); start it with ray start, or correct --address."
_OBJECT_STORE_BYTES = 100 * 2**20
"""Items and outcomes are small; voxels never pass between processes of Ray."""


class Worker(Protocol):
    """What does items in a process of its own."""

    def do(self, item: Item) -> Outcome:
        """Do one; called from several threads."""

    def stop(self) -> None:
        """Give up what is computed."""

    def close(self) -> None:
        """End."""


@dataclass(frozen=True)
class WorkerNeeds:
    """What a worker takes of a machine.

    Attributes:
        gpus: 1, a part of one, or 0; None is 1 where the cluster has GPUs.
        cpus: cores.
        jobs: items at work at once in a worker.
    """

    gpus: float | None = None
    cpus: int = 1
    jobs: int = 2


@dataclass
class _Try:
    """An item on its way.

    Attributes:
        item: the item.
        deaths: how many workers ended with it.
        nodes: where they ran.
        waits_for: the worker that is to do it alone, after a death.
    """

    item: Item
    deaths: int = 0
    nodes: set[str] = field(default_factory=set)
    waits_for: _Slot | None = None


@dataclass(eq=False)
class _Slot:
    """A worker as the driver sees it.

    Attributes:
        actor: Ray's handle.
        node: the machine's name; "" until it has started.
        at_work: what it does, by Ray's reference of the answer.
        alone: it is kept for an item that may be to blame for a death.
    """

    actor: Any
    node: str = ""
    at_work: dict[Any, _Try] = field(default_factory=dict)
    alone: bool = False


class _Actor:
    """The part that runs in a process of Ray."""

    def __init__(self, make_worker: Callable[[], Worker]) -> None:
        self._make_worker = make_worker
        self._worker: Worker | None = None

    def start(self) -> tuple[str, str, Code | None]:
        """Load the model; the node's name, or why it failed."""
        import ray

        node = ray.util.get_node_ip_address() + "/" + ray.get_runtime_context().get_node_id()[:8]
        try:
            self._worker = self._make_worker()
        except Exception as error:  # Ray would tell it as a traceback
            return node, as_sentence(error), code_of(error)
        return node, "", None

    def do(self, item: Item) -> Outcome:
        assert self._worker is not None
        return self._worker.do(item)

    def stop(self) -> None:
        if self._worker is not None:
            self._worker.stop()


class RayEngine:
    """Workers on a cluster, or on this machine.

    Args:
        make_worker: makes a worker in its process; must be picklable.
        needs: what a worker takes.
        give_up: called with an item whose workers died too often and the reason; keeps it.
        address: "auto" for the cluster that this machine belongs to, "ray://HOST:10001" for one elsewhere; None starts Ray here.
        cores: of this machine to use when Ray is started here; None is all.

    Raises:
        MissingExtraError: Ray is not installed.
        DeviceError: there is no cluster at the address, or it has no room for a worker.
    """

    def __init__(
        self,
        make_worker: Callable[[], Worker],
        needs: WorkerNeeds = WorkerNeeds(),
        give_up: Callable[[Item, str, int], object] = lambda item, reason, deaths: None,
        address: str | None = None,
        cores: int | None = None,
    ) -> None:
        _set_environment(here=address is None)
        with require_extra("cluster"):
            import ray
        self._ray = ray
        self._make_worker = make_worker
        self._needs = needs
        self._give_up = give_up
        self._address = address
        self._cores = cores
        self._slots: list[_Slot] = []
        self._starting: dict[Any, _Slot] = {}
        self._counted = -_COUNT_WORKERS_SECONDS
        self._room = 0
        self._failed_starts = 0

    def run(self, items: Iterable[Item]) -> Generator[Outcome, None, None]:
        """Do the items.

        Args:
            items: what there is to do; taken one by one as workers get free.

        Yields:
            The outcomes, as they come.

        Raises:
            LDCTDenoiseError: no worker can start; the code says why.
        """
        with self._connected():
            try:
                yield from self._run(iter(items))
            finally:
                self._end()

    @property
    def workers(self) -> int:
        """How many are ready to work."""
        return sum(bool(slot.node) for slot in self._slots)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            # Ray prints its notes about dead workers to stdout, where a summary as JSON may go.
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
            settings: dict[str, Any] = {"address": self._address}
            if self._address is None:
                folder = tempfile.mkdtemp(prefix="ldctdenoise-ray-")
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                settings = {"address": "local", "num_cpus": self._cores, "include_dashboard": False, "_temp_dir": folder}
                settings["object_store_memory"] = _OBJECT_STORE_BYTES
            else:
                _check_reachable(self._address)
            try:
                self._ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError, self._ray.exceptions.RayError) as error:
                raise DeviceError(self._unreachable(error)) from error
            stack.callback(self._ray.shutdown)
            yield

    def _unreachable(self, error: Exception) -> str:
        if "AuthToken" in f"{error} {error.__cause__}":
            return (
                f"The cluster at {self._address} asks for its token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN as it has them."
            )
        where = self._address or "this machine"
        return _UNREACHABLE.format(where, _first_line(error).rstrip("."))

    def _run(self, items: Iterator[Item]) -> Iterator[Outcome]:
        again: deque[_Try] = deque()
        ended = False
        while True:
            self._start_workers()
            self._hand_out_again(again)
            for slot in self._free():
                item = next(items, None)
                if item is None:
                    ended = True
                    break
                self._hand_out(slot, _Try(item))
            waits = [*self._starting, *(answer for slot in self._slots for answer in slot.at_work)]
            if ended and not again and not any(slot.at_work for slot in self._slots):
                return
            yield from self._collect(waits, again)

    def _free(self) -> Iterator[_Slot]:
        """Workers that can take a further item: first each its first, then each its second."""
        for level in range(self._needs.jobs):
            for slot in self._slots:
                if slot.node and not slot.alone and len(slot.at_work) == level:
                    yield slot

    def _hand_out(self, slot: _Slot, one: _Try) -> None:
        slot.at_work[slot.actor.do.remote(one.item)] = one

    def _hand_out_again(self, again: deque[_Try]) -> None:
        """Give an item whose worker died to one that has nothing else to do, so that no other item is blamed with it."""
        for _ in range(len(again)):
            one = again.popleft()
            if one.waits_for not in self._slots:
                one.waits_for = self._choose(one)
            if one.waits_for is None or one.waits_for.at_work:
                again.append(one)
            else:
                self._hand_out(one.waits_for, one)

    def _choose(self, one: _Try) -> _Slot | None:
        """A worker for an item alone, on a machine where it has not failed if there is one; it gets no further items."""
        ready = [slot for slot in self._slots if slot.node and not slot.alone]
        elsewhere = [slot for slot in ready if slot.node not in one.nodes]
        slot = min(elsewhere or ready, key=lambda slot: len(slot.at_work), default=None)
        if slot is not None:
            slot.alone = True
        return slot

    def _collect(self, waits: list[Any], again: deque[_Try]) -> Iterator[Outcome]:
        ray = self._ray
        if not waits:
            time.sleep(_LOOK_SECONDS)
            return
        ready, _ = ray.wait(waits, num_returns=len(waits), timeout=0)
        if not ready:
            ready, _ = ray.wait(waits, num_returns=1, timeout=_LOOK_SECONDS)
        for answer in ready:
            if answer in self._starting:
                self._started(answer)
                continue
            slot = next((slot for slot in self._slots if answer in slot.at_work), None)
            if slot is None:  # its worker died with another item, and this one is to be done again
                continue
            try:
                outcome: Outcome = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                outcome = Outcome(slot.at_work[answer].item, Status.FAILED, as_sentence(error), Code.UNEXPECTED)
            except ray.exceptions.RayError as error:
                yield from self._died(slot, error, again)
                continue
            if slot.at_work.pop(answer).waits_for is slot:
                slot.alone = False
            yield outcome

    def _started(self, answer: Any) -> None:
        """A worker is ready, or could not start.

        Raises:
            LDCTDenoiseError: it never will.
        """
        slot = self._starting.pop(answer)
        try:
            node, reason, code = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._slots.remove(slot)
            self._failed_starts += 1
            if self._failed_starts > DEATHS * max(1, self._room):
                raise DeviceError(f"Workers end while they start: {_how_it_ended(error)}; see Ray's log.") from error
            return
        if code is not None:
            raise LDCTDenoiseError(f"A worker on {node} cannot start: {reason}", code)
        self._failed_starts = 0
        slot.node = node

    def _died(self, slot: _Slot, error: Exception, again: deque[_Try]) -> Iterator[Outcome]:
        self._slots.remove(slot)
        self._counted = -_COUNT_WORKERS_SECONDS
        with suppress(Exception):  # it may be a machine that cannot be reached, and must not go on with what another does
            self._ray.kill(slot.actor)
        reason = _how_it_ended(error)
        log.debug("A worker on %s ended: %s", slot.node, reason)
        for one in slot.at_work.values():
            one.deaths += 1
            one.nodes.add(slot.node)
            if one.deaths < DEATHS:
                again.append(one)
                continue
            sentence = f"It ended {one.deaths} workers that denoised it, the last one on {slot.node}: {reason}."
            self._give_up(one.item, sentence, one.deaths)
            yield Outcome(one.item, Status.FAILED, sentence, Code.CRASHES)
        slot.at_work.clear()

    def _start_workers(self) -> None:
        """As many as the cluster has room for now: machines come and go.

        Raises:
            DeviceError: there is room for none.
        """
        if time.monotonic() - self._counted < _COUNT_WORKERS_SECONDS:
            return
        self._counted = time.monotonic()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        gpus = self._needs.gpus
        if gpus is None:
            gpus = float(any(node.get("GPU", 0) for node in nodes))
        self._room = sum(_fitting(node, gpus, self._needs.cpus) for node in nodes)
        if not self._room and not self._slots:
            raise DeviceError(
                f"No machine of the cluster has {gpus:g} GPU and {counted(self._needs.cpus, 'core')} for a worker; ask for less "
                "of a GPU, or for fewer threads."
            )
        remote = self._ray.remote(_Actor).options(
            num_cpus=self._needs.cpus, num_gpus=gpus, max_concurrency=self._needs.jobs + 1, max_restarts=0
        )
        for _ in range(self._room - len(self._slots)):
            slot = _Slot(remote.remote(self._make_worker))
            self._slots.append(slot)
            self._starting[slot.actor.start.remote()] = slot

    def _end(self) -> None:
        """End the workers; what one is writing is ended before, what it computes is given up."""
        at_work = [answer for slot in self._slots for answer in slot.at_work]
        with suppress(Exception):  # the cluster may be gone
            if at_work:
                for slot in self._slots:
                    slot.actor.stop.remote()
                self._ray.wait(at_work, num_returns=len(at_work), timeout=_END_SECONDS)
            for slot in self._slots:
                self._ray.kill(slot.actor)


def _set_environment(*, here: bool) -> None:
    """What Ray reads once, when it is imported."""
    if here:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if "RAY_AUTH_MODE" not in os.environ:  # else Ray writes a token into the home folder
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


def _check_reachable(address: str) -> None:
    """Ray itself tries for a quarter of an hour.

    Raises:
        DeviceError: nothing listens there.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise DeviceError(_UNREACHABLE.format(address, error)) from error


def _fitting(node: dict[str, float], gpus: float, cpus: int) -> int:
    """How many workers a machine can hold."""
    by_cpu = int(node.get("CPU", 0) // cpus)
    if not gpus:
        return by_cpu
    # Parts of a GPU do not add up across GPUs.
    by_gpu = int(node.get("GPU", 0)) * int(1 / gpus) if gpus < 1 else int(node.get("GPU", 0) // gpus)
    return min(by_cpu, by_gpu)


def _how_it_ended(error: Exception) -> str:
    """Ray's reason in a few words."""
    text = " ".join(str(error).split())
    for mark in ("Worker exit detail: ", "The actor is dead because "):
        if mark in text:
            text = text.partition(mark)[2]
            break
    return text.partition(" Some common causes")[0].strip().rstrip(".")[:200] or type(error).__name__


def _first_line(error: Exception) -> str:
    return next(itertools.chain(str(error).splitlines(), [type(error).__name__])).strip()
