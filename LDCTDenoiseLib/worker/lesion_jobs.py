"""The lesion test on request of a client; the messages are those of ``messages.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from . import messages
from .messages import LesionAnswers, LesionMaps, Started

if TYPE_CHECKING:
    from ..inference.engine import Denoiser


def lesion_test(
    request: messages.LesionTest, denoiser: Denoiser, started: Started, cancelled: Callable[[], bool]
) -> LesionAnswers:
    """Answer ``lesion_test``: each disc at the place, its pictures into the exchange folder."""
    from ..measures.lesion_test import try_lesion
    from ..measures.signal_kept import Lesion

    voxels, index = np.asarray(request.volume.map()), request.slice
    scan = np.broadcast_to(voxels, (index + 1, *voxels.shape[1:]))  # the slice at its own number, which errors name
    pictures = request.pictures.map("r+")
    row, column = request.place
    start = time.perf_counter()
    answers = []
    for number, (contrast, diameter) in enumerate(request.lesions):
        answer = try_lesion(
            lambda hu: denoiser(hu, cancel=cancelled),
            scan,
            (index, row, column),
            Lesion(contrast, diameter / 2),
            request.spacing,
            halo_px=denoiser.halo,
        )
        shown = (answer.input_with_lesion, answer.result_with_lesion, answer.difference)
        rows, columns = answer.difference.shape
        pictures[number, :, :rows, :columns] = shown
        figures = {name: None if np.isnan(value) else value for name, value in answer.figures.items()}
        answers.append({"contrast": contrast, "diameter": diameter, "shape": [rows, columns], **figures})
    return LesionAnswers(started.device, started.device_reason, time.perf_counter() - start, tuple(answers))


def lesion_map(
    request: messages.LesionMap,
    denoiser: Denoiser,
    started: Started,
    cancelled: Callable[[], bool],
    progress: Callable[[int, int], object],
) -> LesionMaps:
    """Answer ``lesion_map``: signal kept and noise left at places of a slice, as two maps in the exchange folder."""
    from ..measures.signal_kept import Lesion
    from ..simulation.lesion_map import map_slice

    maps = request.maps.map("r+")
    contrast, diameter = request.lesion
    start = time.perf_counter()
    found = map_slice(
        lambda hu: denoiser(hu, cancel=cancelled),
        np.asarray(request.volume.map()),
        request.index,
        Lesion(contrast, diameter / 2),
        request.spacing,
        seed=request.slice,
        progress=progress,
    )
    maps[0] = found.image(found.signal_kept)
    if found.noise_left is not None:
        maps[1] = found.image(found.noise_left)
    return LesionMaps(
        started.device,
        started.device_reason,
        time.perf_counter() - start,
        len(found.places),
        found.kept_figures,
        found.left_figures,
    )
