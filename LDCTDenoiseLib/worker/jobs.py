"""What a worker does on request; the messages are those of ``messages.py``."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..ct.hu_check import check_hu
from ..errors import DenoisingCancelled
from ..version import __version__
from . import lesion_jobs
from .messages import (
    Answer,
    Denoise,
    Denoised,
    DeviceReport,
    Done,
    Event,
    Export,
    Exported,
    LesionAnswers,
    LesionMap,
    LesionMaps,
    LesionTest,
    Phantom,
    PhantomScan,
    Progress,
    Report,
    Simulate,
    Started,
)  # fmt: skip

if TYPE_CHECKING:
    from ..inference.engine import Denoiser

Tell = Callable[[Event], object]
"""Sends an event about the running job."""
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

    def report(self, request: Report, tell: Tell) -> DeviceReport:
        """Say what is installed and which devices there are."""
        from ..inference.backends import why_nothing_computes
        from ..system import pytorch
        from ..system.devices import list_devices, usable_cores, why_no_cuda

        return DeviceReport(
            __version__,
            platform.python_version(),
            pytorch.version(),
            pytorch.problem(),
            why_no_cuda=why_no_cuda(),
            devices=tuple(list_devices()),
            threads=usable_cores(),
            problem=why_nothing_computes(),
        )

    def denoise(self, request: Denoise, tell: Tell) -> Denoised:
        """Denoise a volume into the output array; measure before and after where asked."""
        from ..measures.denoising_effect import compare

        hu, denoised = request.volume.map(), request.output.map("r+")
        denoiser, started = self._ready_denoiser(request, tell)
        slices = request.slices or (0, len(hu))
        start = time.perf_counter()
        denoiser(
            hu,
            slices=slices,
            progress=lambda done, total: tell(Progress(done, total)),
            cancel=self._cancelled,
            padding_value=request.padding_value,
            out=denoised,
        )
        seconds = time.perf_counter() - start
        comparison = None
        if request.compare:
            reference = request.reference.map() if request.reference else None
            comparison = compare(hu, denoised, request.spacing, slices=slices, reference=reference)
        return Denoised(denoiser.provenance(slices), started.device_reason, seconds, comparison)

    def lesion_test(self, request: LesionTest, tell: Tell) -> LesionAnswers:
        """Insert lesions at a place, and measure what is left of them."""
        return lesion_jobs.lesion_test(request, *self._ready_denoiser(request, tell), self._cancelled)

    def lesion_map(self, request: LesionMap, tell: Tell) -> LesionMaps:
        """Map what is left of a lesion over a slice."""
        denoiser, started = self._ready_denoiser(request, tell)
        return lesion_jobs.lesion_map(
            request, denoiser, started, self._cancelled, lambda done, total: tell(Progress(done, total))
        )

    def _ready_denoiser(self, request: Denoise | LesionTest | LesionMap, tell: Tell) -> tuple[Denoiser, Started]:
        """The denoiser that a request asks for, after a look at its volume."""
        from ..inference.engine import Denoiser
        from ..models.model_info import find_model
        from ..system.devices import why_device

        if not request.force:
            check_hu(request.volume.map(), request.padding_value if isinstance(request, Denoise) else None)
        options = request.options
        model = find_model(options.model)
        status = model.stat()
        # A model file that was replaced on disk is another model. The blend can be changed between volumes.
        key = (model, status.st_mtime_ns, status.st_size, replace(options, blend=1.0))
        if self._denoiser is None or key != self._key:
            self._denoiser = None  # frees its memory before the next one asks for some
            self._denoiser = Denoiser.from_options(options)
            self._key = key
        self._denoiser.blend = options.blend
        device = self._denoiser.device
        started = Started(str(device), why_device(options.device, device))
        tell(started)
        return self._denoiser, started

    def phantom(self, request: Phantom, tell: Tell) -> PhantomScan:
        """Make a scan of the phantom."""
        from ..simulation.phantom import make_phantom

        slices, size, _ = request.output.shape
        progress = self._slices_done(tell)
        phantom = make_phantom(slices, size, progress=lambda done, total: progress(done, 2 * total))
        request.output.map("r+")[:] = phantom.scan(request.dose, progress=lambda done, total: progress(total + done, 2 * total))
        return PhantomScan(phantom.spacing, PHANTOM_SLICE_MM)

    def simulate(self, request: Simulate, tell: Tell) -> Done:
        """Insert the noise of a lower dose into a volume."""
        from ..simulation import simulate_low_dose

        hu = np.asarray(request.volume.map())
        if not request.force:
            check_hu(hu)
        progress = self._slices_done(tell)
        request.output.map("r+")[:] = simulate_low_dose(hu, request.spacing, request.dose, progress=progress)
        return Done()

    def _slices_done(self, tell: Tell) -> Callable[[int, int], None]:
        """Tells how many slices are done, and ends the job when it was cancelled."""

        def progress(done: int, total: int) -> None:
            if self._cancelled():
                raise DenoisingCancelled("The simulation was cancelled.")
            tell(Progress(done, total))

        return progress

    def export(self, request: Export, tell: Tell) -> Exported:
        """Write a volume as a DICOM series derived from its source."""
        from ..dicom.export_volume import export_volume
        from ..dicom.log_privacy import silence_pydicom

        silence_pydicom()  # its warnings quote the patient's header, and the log may end in a bug report
        series = export_volume(
            request.files,
            np.asarray(request.volume.map()),
            np.array(request.places),
            np.array(request.across),
            np.array(request.down),
            request.target,
            request.made,
        )
        return Exported(tuple(series))


JOBS: dict[type, Callable[..., Answer]] = {
    Report: Jobs.report,
    Denoise: Jobs.denoise,
    LesionTest: Jobs.lesion_test,
    LesionMap: Jobs.lesion_map,
    Phantom: Jobs.phantom,
    Simulate: Jobs.simulate,
    Export: Jobs.export,
}
