"""What the user would have seen, and what the test answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from .errors import UnansweredQuestion


@dataclass(frozen=True)
class Message:
    """One dialog. ``kind``: error, warning, info, question, delay (a passing popup) or file."""

    kind: str
    text: str
    title: str = ""
    details: str = ""


class Messages(list[Message]):
    """All dialogs since the last reset, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._answers: deque[Any] = deque()
        self.opened_urls: list[str] = []

    def answer(self, *answers: Any) -> None:
        """The next answers: True or False for Ok/Cancel, Yes/No, Retry/Close; a button; a path for a file dialog."""
        self._answers.extend(answers)

    def texts(self, kind: str) -> list[str]:
        return [message.text for message in self if message.kind == kind]

    def show(self, kind: str, text: str, title: str = "", details: str = "") -> None:
        if not isinstance(text, str):
            raise TypeError(f"A dialog's text must be a str, not {text!r}")
        self.append(Message(kind, text, title or "", details or ""))

    def take_answer(self) -> Any:
        if not self._answers:
            raise UnansweredQuestion(f"No answer was given to: {self[-1].text} ({self[-1].title})")
        return self._answers.popleft()

    def forget(self) -> None:
        self.clear()
        self._answers.clear()
        self.opened_urls.clear()

    @property
    def unused_answers(self) -> list[Any]:
        return list(self._answers)


messages = Messages()
