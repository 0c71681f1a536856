"""Which dose a series or a file holds, by the words that data sets use for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum


class Dose(Enum):
    """Which of the two doses of a pair."""

    LOW = "low dose"
    FULL = "normal dose"


_WORDS = {
    Dose.LOW: ("low", "lowdose", "quarter", "qd", "ld"),
    Dose.FULL: ("full", "fulldose", "normal", "fd", "nd"),
}
"""Of the folders low/ and full/, of AAPM's full_1mm, quarter_3mm, _FD_ and _QD_, and of "Low Dose Images"."""
_BETWEEN_WORDS = r"(?:[^\w.]|_)+"
_DOSE_OF_WORD = {word: dose for dose, words in _WORDS.items() for word in words}


def dose_told_by(text: str) -> Dose | None:
    """The dose that a name or a description tells; None when it tells none, or both."""
    told = {_DOSE_OF_WORD[word] for word in _words(text.lower()) if word in _DOSE_OF_WORD}
    return told.pop() if len(told) == 1 else None


def first_dose_told_by(texts: Iterable[str]) -> Dose | None:
    """The dose that the first of several texts tells."""
    return next((dose for text in texts if (dose := dose_told_by(text)) is not None), None)


def without_dose(text: str) -> str:
    """A name without the words for its dose, else as it was written."""
    first, *others = re.split(f"({_BETWEEN_WORDS})", text)
    words = [("", first), *zip(others[::2], others[1::2], strict=True)]
    kept = [(before, word) for before, word in words if word and word.lower() not in _DOSE_OF_WORD]
    return "".join(word if number == 0 else before + word for number, (before, word) in enumerate(kept))


def alike(name: str) -> str:
    """The same for names that differ only in capitals and in what stands between their words."""
    return "_".join(_words(name.lower()))


def _words(text: str) -> list[str]:
    return [word for word in re.split(_BETWEEN_WORDS, text) if word]
