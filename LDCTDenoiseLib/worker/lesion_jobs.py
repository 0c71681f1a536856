"""The lesion test on request of a client; the messages are described in ``protocol.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .exchange import SharedArray
from .protocol import Message

if TYPE_CHECKING:
    from ..inference.engine import Denoiser


def lesion_test(request: Message, denoiser: Denoiser, cancelled: Callable[[], bool]) -> Message:
    """Answer ``lesion_test``: each disc at the place, its pictures into the exchange folder."""
    from ..measures.lesion_test import try_lesion
    from ..measures.signal_kept import Lesion

    voxels, index = np.asarray(SharedArray.from_message(request["volume"]).map()), request["slice"]
    scan = np.broadcast_to(voxels, (index + 1, *voxels.shape[1:]))  # the slice at its own number, which errors name
    pictures = SharedArray.from_message(request["pictures"]).map("r+")
    row, column = request["place"]
    start = time.perf_counter()
    answers = []
    for number, (contrast, diameter) in enumerate(request["lesions"]):
        answer = try_lesion(
            lambda hu: denoiser(hu, cancel=cancelled),
            scan,
            (index, row, column),
            Lesion(contrast, diameter / 2),
            tuple(request["spacing"]),
            halo_px=denoiser.halo,
        )
        shown = (answer.input_with_lesion, answer.result_with_lesion, answer.difference)
        rows, columns = answer.difference.shape
        pictures[number, :, :rows, :columns] = shown
        figures = {name: None if np.isnan(value) else value for name, value in answer.figures.items()}
        answers.append({"contrast": contrast, "diameter": diameter, "shape": [rows, columns], **figures})
    return {"answers": answers, "seconds": time.perf_counter() - start}


def lesion_map(
    request: Message, denoiser: Denoiser, cancelled: Callable[[], bool], progress: Callable[[int, int], object]
) -> Message:
    """Answer ``lesion_map``: signal kept and noise left at places of a slice, as two maps in the exchange folder."""
    from ..errors import InputError
    from ..measures.lesion_test import map_lesions
    from ..measures.signal_kept import Lesion
    from ..simulation.own_noise import own_noise

    scan = np.asarray(SharedArray.from_message(request["volume"]).map())
    maps = SharedArray.from_message(request["maps"]).map("r+")
    spacing = tuple(request["spacing"])
    index = request["index"]
    contrast, diameter = request["lesion"]
    start = time.perf_counter()
    noise: np.ndarray | None
    try:
        noise = own_noise(scan, index, spacing, seed=request["slice"])
    except InputError:  # no uniform tissue to measure it in: the signal alone is told
        noise = None
    found = map_lesions(
        lambda hu: denoiser(hu, cancel=cancelled),
        scan[index],
        Lesion(contrast, diameter / 2),
        spacing,
        noise=noise,
        progress=progress,
    )
    maps[0] = found.image(found.signal_kept)
    answer: dict[str, Any] = {
        "places": len(found.places),
        "signal_kept": {"median": float(np.median(found.signal_kept)), "least": float(found.signal_kept.min())},
        "noise_left": None,
        "seconds": 0.0,
    }
    if found.noise_left is not None:
        maps[1] = found.image(found.noise_left)
        answer["noise_left"] = {"median": float(np.median(found.noise_left)), "most": float(found.noise_left.max())}
    answer["seconds"] = time.perf_counter() - start
    return answer
