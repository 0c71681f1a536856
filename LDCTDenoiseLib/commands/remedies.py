"""What the command line advises: the remedies that are flags of its own."""

from __future__ import annotations

from ..errors import Code, as_sentence, code_of

_REMEDIES = {
    Code.EXISTS: "pass --overwrite to replace it, or choose another name.",
    Code.NOT_OURS: "pass --overwrite to replace it.",
    Code.NOT_HU: "Convert them to HU, or, if they are, pass --force to a command that has it.",
    Code.NOT_CT: "pass --force to take it for CT in HU.",
    Code.UNREADABLE: "Or pass --allow-missing to go on without it.",
    Code.DERIVED: "Or pass --force to denoise it again.",
    Code.SEVERAL_SERIES: "Give the folder of one alone; a CSV of pairs of doses may name it as FOLDER#UID.",
    Code.CRASHES: "Pass --overwrite to try it again.",
    Code.RUN_EXISTS: "pass --resume to go on with it, or choose another --out.",
    Code.STOPPED: "Go on with --resume.",
    Code.TORCH: "Install it: pip install 'ldctdenoise[torch]'.",
    Code.MEMORY: "close other programs, or cut the volume.",
    Code.UNEXPECTED: "run again with --debug.",
}
"""Small letters go on with the sentence."""


def with_remedy(sentence: str, code: Code) -> str:
    """The library's sentence with what to do about it here."""
    remedy = _REMEDIES.get(code, "")
    if remedy[:1].islower():
        return f"{sentence.rstrip('.')}; {remedy}"
    return f"{sentence} {remedy}".rstrip()


def advice(error: BaseException) -> str:
    """Any error as one line: what went wrong and what to do."""
    return with_remedy(as_sentence(error), code_of(error))
