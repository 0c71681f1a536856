"""The protocol between worker and client, version 1: what is said, and how it becomes bytes.

Each message is one JSON object on one line (UTF-8), requests on the worker's stdin, events on its stdout. Its stderr is a
log for people. Voxels do not travel through the pipes: they lie in files of a private folder (``exchange.py``) that both
processes map into memory; an *array* below is ``{"path", "dtype", "shape"}``.

The first line of a worker is ``hello``. Requests are answered one after the other: each by at most one ``started``, any number of
``progress`` and ``alive`` events and by one ``result`` or ``error`` with the request's ``id``.

Requests (all with ``request`` and ``id``; ``folder`` is the exchange folder of the job, if it has one):

- ``report``: which devices and packages there are.
  Result: ``software``, ``python``, ``torch`` (version or null), ``torch_problem``, ``why_no_cuda``,
  ``devices`` (list of ``{"name", "label"}``), ``threads``.
- ``denoise``: ``folder``, ``volume`` (array, HU, slices first), ``output`` (array, same shape and type), ``spacing``
  (rows, columns in mm), ``model``, ``levels`` (int or null), ``blend``, ``device``, ``precision``, ``batch_size`` (int or
  null), ``slices`` ([first, last + 1] or null), ``padding_value`` (HU or null), ``force`` (bool: do not check that voxels
  look like HU), ``compare`` (bool), ``reference`` (array or null: normal dose, same shape); optional: ``backend``,
  ``threads``, ``region`` (as in ``Denoiser``).
  Started: ``device``, ``device_reason``. Progress: ``done`` and ``total`` slices. Result: ``device``, ``device_reason``,
  ``model``, ``model_hash``, ``levels``, ``seconds`` (of the computation), ``comparison`` (of ``denoising_effect.compare``;
  null unless asked for).
- ``lesion_test``: ``folder``, ``volume`` (array of one slice), ``slice`` (its number), ``pictures`` (array, float32: lesions, 3,
  rows, columns), ``spacing``, ``place`` ([row, column]), ``lesions`` (list of [contrast in HU, diameter in mm]), and how to
  denoise as in ``denoise``. Result: ``device``, ``device_reason``, ``seconds``, ``answers`` (for each lesion the figures of
  ``measures.lesion_test``, and ``shape``: rows and columns of its pictures).
- ``lesion_map``: ``folder``, ``volume`` (array of neighbouring slices), ``index`` (of the slice in it), ``slice`` (its number),
  ``maps`` (array, float32: 2, rows, columns: signal kept and noise left, NaN outside the body), ``spacing``, ``lesion``
  ([contrast, diameter]), and how to denoise. Progress: passes. Result: ``device``, ``device_reason``, ``seconds``, ``places``
  (count), ``signal_kept`` (``median``, ``least``), ``noise_left`` (``median``, ``most``; null where it cannot be measured).
- ``phantom``: ``folder``, ``output`` (array, int16), ``dose``. Progress: slices. Result: ``spacing``, ``slice_mm``.
- ``simulate``: ``folder``, ``volume``, ``output`` (arrays), ``spacing``, ``dose``, ``force``. Progress: slices. Result: nothing.
- ``export``: ``folder``, ``volume`` (array, slices as the source stacks them), ``files`` (paths of the source series),
  ``places`` (LPS of the first voxel of every slice), ``across``, ``down`` (LPS unit vectors along rows and columns),
  ``target`` (folder to make), ``made`` (``model``, ``model_hash``, ``levels``, ``blend``, ``slices``). Result: ``series``
  (the new SeriesInstanceUIDs).
- ``cancel``: no id of its own; the running request ends with the error ``DenoisingCancelled`` before its next batch.

Events: ``hello`` (``protocol``, ``software``, ``pid``: the real process, not a launcher), ``started``, ``progress``, ``alive``
(every second while a request is served), ``result``, ``error`` (``kind``: the exception's class, ``message``: a sentence).

When its stdin ends, the worker removes the running job's folder and exits at once: a parent that crashed leaves no orphan.
"""

from __future__ import annotations

import json
from typing import Any

PROTOCOL_VERSION = 1
ALIVE_SECONDS = 1.0
MAX_LINE_BYTES = 2**20

Message = dict[str, Any]


class ProtocolError(Exception):
    """Bytes that are no message."""


def encode(message: Message) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message of one line.

    Raises:
        ProtocolError: the line is not a JSON object.
    """
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise ProtocolError(f"not a message: {line[:80]!r}")
    return message


class LineDecoder:
    """Bytes in whatever pieces a pipe gives them, messages out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The messages that these bytes complete.

        Raises:
            ProtocolError: a line is no message, or is endless.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise ProtocolError(f"a line longer than {MAX_LINE_BYTES} bytes")
        return [decode(line) for line in lines if line.strip()]
