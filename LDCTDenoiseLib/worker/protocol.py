"""How messages become bytes: one JSON object on one line (UTF-8), requests on the worker's stdin, events on its stdout.

Every line has the protocol's ``version``. A request has its name (``request``) and an ``id``, which its events and its answer
repeat; an event has its name (``event``), and an answer is the event ``result``. The other keys are the fields of the message.
What is of another version, or has a field that the message has not, is refused. The worker's stderr is a log for people.

When its stdin ends, the worker removes the running job's folder and exits at once: a parent that crashed leaves no orphan.
"""

from __future__ import annotations

import json
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import WorkerError
from .messages import Answer, Event, Request

PROTOCOL_VERSION = 2
ALIVE_SECONDS = 1.0
MAX_LINE_BYTES = 2**24
"""An export names every file of its series: some hundred bytes a slice."""
ENDLESS = f"a line longer than {MAX_LINE_BYTES} bytes"
RESULT = "result"

Message = dict[str, Any]
"""A line as JSON has it."""
REQUESTS: dict[str, type] = {one.request: one for one in get_args(Request)}
EVENTS: dict[str, type] = {one.event: one for one in get_args(Event)}


class ProtocolError(WorkerError):
    """Bytes that are no message of this version."""


def request_line(request: Request, number: int | None = None) -> bytes:
    """A request as a line."""
    return _line({"request": request.request, "id": number}, request)


def event_line(event: Event, number: int | None = None) -> bytes:
    """An event as a line."""
    return _line({"event": event.event, "id": number}, event)


def answer_line(answer: Answer, number: int | None) -> bytes:
    """An answer as a line."""
    return _line({"event": RESULT, "id": number}, answer)


def _line(head: Message, message: object) -> bytes:
    return json.dumps({"version": PROTOCOL_VERSION, **head, **_as_json(message)}, separators=(",", ":")).encode() + b"\n"


def _as_json(value: Any) -> Any:
    if is_dataclass(value):
        return {one.name: _as_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {key: _as_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(one) for one in value]
    if isinstance(value, np.dtype):
        return value.str
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def read_request(message: Message) -> Request:
    """The request of a line.

    Raises:
        ProtocolError: of another version, unknown, or with other fields.
    """
    kind = REQUESTS.get(str(message.get("request")))
    _check_version(message)
    if kind is None:
        raise ProtocolError(f"There is no request {message.get('request')!r}.")
    request: Request = _fields_of(message, kind)
    return request


def read_event(message: Message) -> Event:
    """The event of a line that is no answer; raises as :func:`read_request`."""
    kind = EVENTS.get(str(message.get("event")))
    _check_version(message)
    if kind is None:
        raise ProtocolError(f"There is no event {message.get('event')!r}.")
    event: Event = _fields_of(message, kind)
    return event


def read_answer(message: Message, request: Request) -> Any:
    """The answer of a line, to a request; raises as :func:`read_request`."""
    _check_version(message)
    return _fields_of(message, request.answer)


def _check_version(message: Message) -> None:
    if message.get("version") != PROTOCOL_VERSION:
        raise ProtocolError(
            f"The other side speaks protocol {message.get('version')} and this one {PROTOCOL_VERSION}: library and module are of "
            "different versions."
        )


def _fields_of(message: Message, kind: type) -> Any:
    return _of_type({key: value for key, value in message.items() if key not in ("version", "request", "event", "id")}, kind)


@cache
def _types(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}


def _of_type(value: Any, kind: Any, name: str = "") -> Any:
    """A value of JSON as the type that a field has."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return None if value is None else _of_type(value, next(one for one in arguments if one is not types.NoneType), name)
    if is_dataclass(kind) and isinstance(value, dict):
        return _dataclass_of(value, kind)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            return tuple(_of_type(one, arguments[0], name) for one in value)
        if len(value) == len(arguments):
            return tuple(_of_type(one, of, name) for one, of in zip(value, arguments, strict=True))
    if origin is dict and isinstance(value, dict):
        return {key: _of_type(one, arguments[1], name) for key, one in value.items()}
    if isinstance(kind, type) and issubclass(kind, Enum) and value in [one.value for one in kind]:
        return kind(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is np.dtype and isinstance(value, str):
        return np.dtype(value)
    if kind in (str, bool) and isinstance(value, kind):
        return value
    if kind in (int, float) and isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool):
        return kind(value)
    raise ProtocolError(f"The field '{name}' of a message cannot be {repr(value)[:80]}.")


def _dataclass_of(value: dict[str, Any], kind: type) -> Any:
    known = _types(kind)
    if unknown := sorted(set(value) - set(known)):
        raise ProtocolError(f"{kind.__name__} has no field '{unknown[0]}'.")
    needed = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
    if lacking := sorted(needed - set(value)):
        raise ProtocolError(f"{kind.__name__} lacks the field '{lacking[0]}'.")
    return kind(**{name: _of_type(one, known[name], name) for name, one in value.items()})


def decode(line: bytes) -> Message:
    """The JSON object of one line.

    Raises:
        ProtocolError: the line is not one.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):  # the second: lists within lists, without end
        message = None
    if not isinstance(message, dict):
        raise ProtocolError(f"not a message: {line[:80]!r}")
    return message


class LineDecoder:
    """Bytes in whatever pieces a pipe gives them, JSON objects out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """The objects that these bytes complete.

        Raises:
            ProtocolError: a line is no message, or is endless.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if max(map(len, (*lines, self._rest))) > MAX_LINE_BYTES:
            raise ProtocolError(ENDLESS)
        return [decode(line) for line in lines if line.strip()]
