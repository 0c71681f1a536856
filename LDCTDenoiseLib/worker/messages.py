"""What client and worker say to each other, version 2: one dataclass for each request, answer and event.

A request is answered by at most one ``Started``, any number of ``Progress`` and ``Alive``, and by one answer or ``Failed``.
Voxels do not travel in messages: they lie in the job's exchange folder (``exchange.py``), which both map into memory.
``protocol.py`` makes lines of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import Code
from ..models.options import DenoisingOptions
from ..models.provenance import Provenance
from .exchange import SharedArray

Spacing = tuple[float, float]
"""(rows, columns), mm."""


# Answers


@dataclass(frozen=True)
class Done:
    """The answer of a request that has nothing to tell: its output is in the exchange folder."""


@dataclass(frozen=True)
class DeviceReport:
    """Which devices and packages there are.

    Attributes:
        software, python: versions.
        torch: version, or None.
        torch_problem: what is wrong with PyTorch, as a sentence; "" when nothing is.
        why_no_cuda: "" where there is CUDA.
        devices: ``{"name", "label"}`` of each.
        threads: of the CPU.
        problem: why nothing at all can be computed, as a sentence; "" where OpenVINO or PyTorch can be used.
    """

    software: str
    python: str
    torch: str | None
    torch_problem: str
    why_no_cuda: str = ""
    devices: tuple[dict[str, str], ...] = ()
    threads: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Denoised:
    """A volume is denoised.

    Attributes:
        made: what made it.
        device_reason: why this device.
        seconds: of the computation.
        comparison: of ``denoising_effect.compare``; None unless asked for.
    """

    made: Provenance
    device_reason: str
    seconds: float
    comparison: dict[str, Any] | None = None


@dataclass(frozen=True)
class LesionAnswers:
    """What became of lesions.

    Attributes:
        answers: for each lesion the figures of ``measures.lesion_test``, and ``shape``: rows and columns of its pictures.
    """

    device: str
    device_reason: str
    seconds: float
    answers: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class LesionMaps:
    """The lesion test at many places of a slice.

    Attributes:
        places: how many.
        signal_kept: ``median`` and ``least``.
        noise_left: ``median`` and ``most``; None where it cannot be measured.
    """

    device: str
    device_reason: str
    seconds: float
    places: int
    signal_kept: dict[str, float]
    noise_left: dict[str, float] | None


@dataclass(frozen=True)
class PhantomScan:
    """A phantom is scanned."""

    spacing: Spacing
    slice_mm: float


@dataclass(frozen=True)
class Exported:
    """A derived series is written.

    Attributes:
        series: the new SeriesInstanceUIDs.
    """

    series: tuple[str, ...]


# Requests


@dataclass(frozen=True)
class Report:
    """Which devices and packages are there?"""

    request: ClassVar[str] = "report"
    answer: ClassVar[type] = DeviceReport


@dataclass(frozen=True)
class Denoise:
    """Denoise a volume.

    Attributes:
        folder: the exchange folder of the job.
        volume: (slices, rows, columns), HU.
        output: same shape and type.
        spacing: (rows, columns), mm.
        options: how.
        slices: half-open range; None is all.
        padding_value: HU, or None.
        force: do not check that the voxels look like HU.
        compare: measure before and after.
        reference: normal dose, same shape, to measure against.
    """

    folder: Path
    volume: SharedArray
    output: SharedArray
    spacing: Spacing
    options: DenoisingOptions
    slices: tuple[int, int] | None = None
    padding_value: float | None = None
    force: bool = False
    compare: bool = False
    reference: SharedArray | None = None
    request: ClassVar[str] = "denoise"
    answer: ClassVar[type] = Denoised


@dataclass(frozen=True)
class LesionTest:
    """Insert lesions into a slice, one after the other, and denoise it with and without.

    Attributes:
        volume: of one slice, HU.
        pictures: (lesions, 3, rows, columns), float32.
        slice: its number.
        place: (row, column).
        lesions: (contrast in HU, diameter in mm) of each.
        options: how to denoise.
        force: as in ``Denoise``.
    """

    folder: Path
    volume: SharedArray
    pictures: SharedArray
    spacing: Spacing
    slice: int
    place: tuple[int, int]
    lesions: tuple[tuple[float, float], ...]
    options: DenoisingOptions
    force: bool = False
    request: ClassVar[str] = "lesion_test"
    answer: ClassVar[type] = LesionAnswers


@dataclass(frozen=True)
class LesionMap:
    """The lesion test at a grid of places of a slice.

    Attributes:
        volume: neighbouring slices, HU.
        maps: (2, rows, columns), float32: signal kept and noise left, NaN outside the body.
        index: of the slice in the volume.
        slice: its number.
        lesion: (contrast in HU, diameter in mm).
        options: how to denoise.
        force: as in ``Denoise``.
    """

    folder: Path
    volume: SharedArray
    maps: SharedArray
    spacing: Spacing
    index: int
    slice: int
    lesion: tuple[float, float]
    options: DenoisingOptions
    force: bool = False
    request: ClassVar[str] = "lesion_map"
    answer: ClassVar[type] = LesionMaps


@dataclass(frozen=True)
class Phantom:
    """Scan the phantom at a dose fraction, into (slices, rows, columns) int16."""

    folder: Path
    output: SharedArray
    dose: float
    request: ClassVar[str] = "phantom"
    answer: ClassVar[type] = PhantomScan


@dataclass(frozen=True)
class Simulate:
    """Insert the noise of a dose fraction into a volume in HU."""

    folder: Path
    volume: SharedArray
    output: SharedArray
    spacing: Spacing
    dose: float
    force: bool = False
    request: ClassVar[str] = "simulate"
    answer: ClassVar[type] = Done


@dataclass(frozen=True)
class Export:
    """Write a derived DICOM series.

    Attributes:
        volume: slices as the source stacks them.
        files: of the source series.
        places: LPS of the first voxel of every slice, mm.
        across, down: LPS unit vectors along rows and columns.
        target: folder to make.
        made: what made the volume.
    """

    folder: Path
    volume: SharedArray
    files: tuple[Path, ...]
    places: tuple[tuple[float, float, float], ...]
    across: tuple[float, float, float]
    down: tuple[float, float, float]
    target: Path
    made: Provenance
    request: ClassVar[str] = "export"
    answer: ClassVar[type] = Exported


@dataclass(frozen=True)
class Cancel:
    """End the running request before its next batch; it fails with ``DenoisingCancelled``. Has no answer of its own."""

    request: ClassVar[str] = "cancel"
    answer: ClassVar[type] = Done


Request = Report | Denoise | LesionTest | LesionMap | Phantom | Simulate | Export | Cancel
Answer = Done | DeviceReport | Denoised | LesionAnswers | LesionMaps | PhantomScan | Exported


# Events


@dataclass(frozen=True)
class Hello:
    """The first words of a worker.

    Attributes:
        pid: of the real process, not of a launcher.
    """

    software: str
    pid: int
    event: ClassVar[str] = "hello"


@dataclass(frozen=True)
class Alive:
    """Said every second while a request is served."""

    event: ClassVar[str] = "alive"


@dataclass(frozen=True)
class Started:
    """The model is loaded, and the computation begins."""

    device: str
    device_reason: str
    event: ClassVar[str] = "started"


@dataclass(frozen=True)
class Progress:
    """Slices, or passes, that are done."""

    done: int
    total: int
    event: ClassVar[str] = "progress"


@dataclass(frozen=True)
class Failed:
    """The request ended with an error.

    Attributes:
        kind: the exception's class.
        code: what went wrong, for whoever knows a remedy.
        message: a sentence.
    """

    kind: str
    code: Code
    message: str
    event: ClassVar[str] = "error"


Event = Hello | Alive | Started | Progress | Failed
