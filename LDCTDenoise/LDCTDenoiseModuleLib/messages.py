"""Errors as sentences for the panel."""

from __future__ import annotations

import logging
import re

from slicer.i18n import tr as _

from LDCTDenoiseLib.errors import Code, LDCTDenoiseError


def breakable(text: str) -> str:
    """Text that a label can wrap: Qt breaks long paths and names at slashes and hyphens only."""
    return re.sub(r"[^\s()]{30,}", lambda word: re.sub(r"(?<=[\\_.,])(?!\u200b)", "\u200b", word[0]), text)


def messageOf(error: Exception) -> str:
    """What went wrong and what to do, in the panel's words."""
    return breakable(_sentenceOf(error))


def torchAdvice(problem: str) -> str:
    """What is wrong with PyTorch, and which button helps."""
    return _("{problem}; a GPU needs it: press Install PyTorch under Device and setup.").format(problem=problem.rstrip("."))


def _sentenceOf(error: Exception) -> str:
    if not isinstance(error, LDCTDenoiseError):
        logging.error("LDCT Denoise", exc_info=error)
        return _("{kind}: {error} (Slicer's error log has the details.)").format(kind=type(error).__name__, error=error)
    if error.code is Code.NOT_HU:
        return _("{finding} Choose a CT in HU, or tick 'Skip the HU check' under Model if it is one.").format(finding=error)
    if error.code is Code.WORKER_ENDED:
        sentence, newline, log = str(error).partition("\n")
        return _("{sentence} Press Apply to try again with a fresh one.").format(sentence=sentence) + newline + log
    return torchAdvice(str(error)) if error.code is Code.TORCH else str(error)
