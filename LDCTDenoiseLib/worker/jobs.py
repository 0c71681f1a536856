"""What a worker does on request; the messages are described in ``protocol.py``."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ct.hu_check import check_hu
from ..errors import DenoisingCancelled, MissingTorchError
from ..version import __version__
from . import lesion_jobs
from .exchange import SharedArray
from .protocol import Message

if TYPE_CHECKING:
    from ..inference.engine import Denoiser

Tell = Callable[..., None]
"""Sends an event about the running job: its name and, as keywords, what it says."""
OLDEST_TORCH = (2, 1)
PHANTOM_SLICE_MM = 5.0


class Jobs:
    """The jobs, with what they keep from one to the next: the model that is loaded.

    Args:
        cancelled: asked before every batch.
    """

    def __init__(self, cancelled: Callable[[], bool]) -> None:
        self._cancelled = cancelled
        self._key: tuple[object, ...] = ()
        self._denoiser: Denoiser | None = None

    def report(self, request: Message, tell: Tell) -> Message:
        version, problem = _torch_version(), _torch_problem()
        answer: Message = {
            "software": __version__,
            "python": platform.python_version(),
            "torch": version,
            "torch_problem": problem,
            "why_no_cuda": "",
            "devices": [],
            "threads": 0,
        }
        if not problem:
            import torch

            from ..system.devices import list_devices, why_no_cuda

            answer |= {"why_no_cuda": why_no_cuda(), "devices": list_devices(), "threads": torch.get_num_threads()}
        return answer

    def denoise(self, request: Message, tell: Tell) -> Message:
        require_torch()
        from ..measures.denoising_effect import compare
        from ..system.devices import why_device

        volume, output = (SharedArray.from_message(request[key]) for key in ("volume", "output"))
        hu, denoised = volume.map(), output.map("r+")
        if not request["force"]:
            check_hu(hu)
        denoiser = self._ready_denoiser(request)
        denoiser.blend = request["blend"]
        slices = tuple(request["slices"]) if request["slices"] else (0, len(hu))
        where = {"device": str(denoiser.device), "device_reason": why_device(request["device"], denoiser.device)}
        tell("started", **where)
        start = time.perf_counter()
        denoiser(
            hu,
            slices=slices,
            progress=lambda done, total: tell("progress", done=done, total=total),
            cancel=self._cancelled,
            padding_value=request["padding_value"],
            out=denoised,
        )
        seconds = time.perf_counter() - start
        comparison = None
        if request["compare"]:
            reference = SharedArray.from_message(request["reference"]).map() if request["reference"] else None
            comparison = compare(hu, denoised, request["spacing"], slices=slices, reference=reference)
        return {
            **where,
            "model": denoiser.info.name,
            "model_hash": denoiser.info.tensor_hash,
            "levels": denoiser.levels,
            "seconds": seconds,
            "comparison": comparison,
        }

    def lesion_test(self, request: Message, tell: Tell) -> Message:
        denoiser, where = self._for_lesions(request, tell)
        return {**where, **lesion_jobs.lesion_test(request, denoiser, self._cancelled)}

    def lesion_map(self, request: Message, tell: Tell) -> Message:
        denoiser, where = self._for_lesions(request, tell)
        told = lesion_jobs.lesion_map(
            request, denoiser, self._cancelled, lambda done, total: tell("progress", done=done, total=total)
        )
        return {**where, **told}

    def _for_lesions(self, request: Message, tell: Tell) -> tuple[Denoiser, Message]:
        require_torch()
        from ..system.devices import why_device

        if not request["force"]:
            check_hu(SharedArray.from_message(request["volume"]).map())
        denoiser = self._ready_denoiser(request)
        denoiser.blend = request["blend"]
        where = {"device": str(denoiser.device), "device_reason": why_device(request["device"], denoiser.device)}
        tell("started", **where)
        return denoiser, where

    def _ready_denoiser(self, request: Message) -> Denoiser:
        from ..inference.engine import Denoiser
        from ..models.model_info import find_model

        model = find_model(request["model"])
        status = model.stat()
        arguments: dict[str, Any] = {key: request[key] for key in ("device", "precision", "batch_size", "levels")}
        arguments |= {key: request[key] for key in ("backend", "threads", "region") if key in request}
        # A model file that was replaced on disk is another model.
        key = (model, status.st_mtime_ns, status.st_size, *arguments.items())
        if self._denoiser is None or key != self._key:
            self._denoiser = None  # frees its memory before the next one asks for some
            self._denoiser = Denoiser(request["model"], **arguments)
            self._key = key
        return self._denoiser

    def phantom(self, request: Message, tell: Tell) -> Message:
        from ..simulation.phantom import make_phantom

        output = SharedArray.from_message(request["output"])
        slices, size, _ = output.shape
        phantom = make_phantom(slices, size)
        output.map("r+")[:] = phantom.scan(request["dose"], progress=self._slices_done(tell))
        return {"spacing": phantom.spacing, "slice_mm": PHANTOM_SLICE_MM}

    def simulate(self, request: Message, tell: Tell) -> Message:
        from ..simulation import simulate_low_dose

        volume, output = (SharedArray.from_message(request[key]) for key in ("volume", "output"))
        hu = np.asarray(volume.map())
        if not request["force"]:
            check_hu(hu)
        spacing, progress = tuple(request["spacing"]), self._slices_done(tell)
        output.map("r+")[:] = simulate_low_dose(hu, spacing, request["dose"], progress=progress)
        return {}

    def _slices_done(self, tell: Tell) -> Callable[[int, int], None]:
        """Tells how many slices are done, and ends the job when it was cancelled."""

        def progress(done: int, total: int) -> None:
            if self._cancelled():
                raise DenoisingCancelled("The simulation was cancelled.")
            tell("progress", done=done, total=total)

        return progress

    def export(self, request: Message, tell: Tell) -> Message:
        from ..dicom.derivation import Derivation
        from ..dicom.export_volume import export_volume
        from ..dicom.log_privacy import silence_pydicom

        silence_pydicom()  # its warnings quote the patient's header, and the log may end in a bug report
        made = request["made"]
        series = export_volume(
            [Path(file) for file in request["files"]],
            np.asarray(SharedArray.from_message(request["volume"]).map()),
            np.array(request["places"], float),
            np.array(request["across"], float),
            np.array(request["down"], float),
            Path(request["target"]),
            Derivation(made["model"], made["model_hash"], made["levels"], made["blend"], tuple(made["slices"])),
        )
        return {"series": series}


JOBS: dict[str, Callable[[Jobs, Message, Tell], Message]] = {
    "report": Jobs.report,
    "denoise": Jobs.denoise,
    "lesion_test": Jobs.lesion_test,
    "lesion_map": Jobs.lesion_map,
    "phantom": Jobs.phantom,
    "simulate": Jobs.simulate,
    "export": Jobs.export,
}


def _torch_version() -> str | None:
    try:
        import torch
    except (ImportError, OSError):
        return None
    return str(torch.__version__)


def _torch_problem() -> str:
    """What is wrong with PyTorch, as a sentence; empty when nothing is."""
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            return f"PyTorch cannot be loaded ({error}); install it again."
        return "PyTorch is not installed; press Install PyTorch under Device and setup."
    except (ImportError, OSError) as error:  # OSError: a library of it is missing or broken
        return f"PyTorch cannot be loaded ({error}); install it again."
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        return f"PyTorch {torch.__version__} is too old: {oldest} or newer is needed; install it again."
    return ""


def require_torch() -> None:
    """Make sure that PyTorch is there and new enough.

    Raises:
        MissingTorchError: it is not; it says what to do.
    """
    if problem := _torch_problem():
        raise MissingTorchError(problem)
